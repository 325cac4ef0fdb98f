"""Tests of runs under pytest-xdist: the suite refuses its workers, and nothing that was measured is overwritten."""

from __future__ import annotations

import pytest

SMALL = ("--models", "resnet18", "--twins", "onnxruntime_fp32")


@pytest.fixture
def suite(root, tmp_path, pytester):
    """Runs pytest in the repository, with an old run where the new one would be written."""
    (tmp_path / "out.json").write_text("{}")

    def run(*arguments):
        result = pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", str(root / "pytest.ini"), "--rootdir",
            str(root), "--engine-dir", str(tmp_path / "engines"), "--benchmark-json", str(tmp_path / "out.json"),
            *SMALL, *arguments
        )  # fmt: skip
        assert (tmp_path / "out.json").read_text() == "{}"
        return result

    return run


@pytest.mark.parametrize("workers", [("-n", "2"), ("--dist", "load", "--tx", "popen")])
@pytest.mark.parametrize("selected", ["benchmarks", "benchmarks/test_latency.py::test_latency", "."])
def test_workers_are_refused_in_one_line_before_they_start(suite, root, workers, selected):
    result = suite(*workers, str(root / selected))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.strip()]
    assert line.startswith("ERROR: the suite measures in one process, one twin at a time; leave out pytest-xdist's -n")


def test_no_workers_and_tests_of_another_folder_go_on(suite, root, pytester, monkeypatch):
    assert suite("-n", "0", str(root / "benchmarks"), "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    pytester.makepyfile("def test_other(): pass")
    monkeypatch.setenv("PYTHONPATH", str(root))
    ours = ("options", "one_process", "run_json")
    loaded = [word for name in ours for word in ("-p", f"twins.plugins.{name}")]
    result = pytester.runpytest_subprocess(*loaded, "-p", "no:hypothesispytest", "-n", "1", "--benchmark-json=new.json")
    assert result.parseoutcomes() == {"passed": 1}
