"""Tests of the run's JSON: whole or not at all, whatever happens to the run."""

from __future__ import annotations

import json
import os
import types
from pathlib import Path

import pytest

from fixtures.plugins import run_json, saved_outputs
from tests.helpers.cases import SESSION

PLUGIN = ("-p", "twins.plugins.run_json", "-p", "no:cacheprovider", "-p", "no:hypothesispytest",
          "--benchmark-warmup=off",
          "--benchmark-min-rounds=2")  # fmt: skip

MEASURED = """
    def test_measured(benchmark):
        benchmark.pedantic(lambda: None, rounds=3)
        benchmark.extra_info["latency_p50_s"] = {value}
"""


@pytest.fixture(autouse=True)
def suite_on_path(root, monkeypatch):
    """Runs that pytester starts find `fixtures`."""
    monkeypatch.setenv("PYTHONPATH", str(root))


def run(pytester, *arguments):
    (pytester.path / "tmp").mkdir(exist_ok=True)
    pytester._monkeypatch.setenv("TMPDIR", str(pytester.path / "tmp"))
    return pytester.runpytest_subprocess(*PLUGIN, "--benchmark-json", "out.json", *arguments)


def written(pytester):
    return json.loads(
        (pytester.path / "out.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON")
    )


def test_a_run_without_a_benchmark_is_written(pytester):
    pytester.makepyfile("def test_nothing(): pass")
    assert run(pytester).ret == 0
    document = written(pytester)
    assert document["benchmarks"] == [] and document["suite"]["schema"] == 1


def test_a_failing_run_is_written_with_what_it_measured(pytester):
    pytester.makepyfile(MEASURED.format(value=0.5) + "\n    def test_wrong(): assert 0")
    assert run(pytester).ret == 1
    (benchmark,) = written(pytester)["benchmarks"]
    assert benchmark["extra_info"]["latency_p50_s"] == 0.5 and len(benchmark["stats"]["data"]) == 3


def test_an_interrupted_run_keeps_what_was_finished_and_drops_what_was_not(pytester):
    pytester.makepyfile(
        MEASURED.format(value=0.5)
        + """
    def test_stopped(benchmark):
        left = [1, 2]
        def call():
            if not left: raise KeyboardInterrupt
            left.pop()
        benchmark.pedantic(call, rounds=10)

    def test_never(): pass
    """
    )
    assert run(pytester).ret == pytest.ExitCode.INTERRUPTED
    assert [benchmark["name"] for benchmark in written(pytester)["benchmarks"]] == ["test_measured"]


def test_nan_and_infinity_become_null(pytester):
    pytester.makepyfile(MEASURED.format(value="[float('nan'), float('inf'), 1.0]"))
    assert run(pytester).ret == 0
    assert written(pytester)["benchmarks"][0]["extra_info"]["latency_p50_s"] == [None, None, 1.0]


@pytest.mark.parametrize("path, reason", [("absent/out.json", "No such file or directory"), (".", "")])
def test_an_unwritable_path_is_refused_before_the_first_test(pytester, path, reason):
    pytester.makepyfile("def test_never(): print('ran')")
    result = pytester.runpytest_subprocess(*PLUGIN, "--benchmark-json", path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    error = [line for line in result.errlines if "--benchmark-json" in line and "sage" not in line]
    assert len(error) == 1 and reason in error[0] and path in error[0]
    result.stdout.no_fnmatch_line("*passed*")


def test_a_killed_run_leaves_no_half_written_file(pytester):
    pytester.makepyfile(
        MEASURED.format(value=1) + "\n    def test_killed():\n        import os; os.kill(os.getpid(), 9)"
    )
    assert run(pytester).ret == -9
    assert [name for name in os.listdir(pytester.path) if name.startswith("out.json")] == []


def test_a_run_that_dies_leaves_what_was_measured_until_then(pytester):
    pytester.makeconftest(SESSION)
    pytester.makepyfile(
        """
        import os, pytest

        @pytest.mark.parametrize("model, twin", [("a", "x"), ("a", "y"), ("b", "x")])
        def test_case(session, model, twin, benchmark):
            if model == "b": os.kill(os.getpid(), 11)
            benchmark.pedantic(lambda: None, rounds=3)
            benchmark.extra_info["latency_p50_s"] = 0.5
        """
    )
    assert run(pytester).ret == -11
    assert [name for name in os.listdir(pytester.path) if name.startswith("out.json")] == ["out.json.unfinished"]
    left = json.loads((pytester.path / "out.json.unfinished").read_text())
    assert [bench["name"] for bench in left["benchmarks"]] == ["test_case[a-x]", "test_case[a-y]"]
    assert [case["outcome"] for case in left["suite"]["cases"]] == ["passed", "passed"]
    assert run(pytester, "-k", "a-").ret == 0 and "out.json.unfinished" not in os.listdir(pytester.path)


def test_a_disk_that_fills_at_the_end_fails_the_run_in_one_line(pytester):
    pytester.makepyfile(MEASURED.format(value=1))
    pytester.makeconftest(
        """
        import errno, os
        import twins.plugins.run_json
        write = twins.plugins.run_json.write_whole
        def full(path, data):
            if path.resolve().parent == path.cwd(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(path, data)
        twins.plugins.run_json.write_whole = full
        def pytest_unconfigure(config):
            print("endings:", twins.plugins.run_json.record_of(config).endings)
        """
    )
    (pytester.path / "out.json.unfinished").write_text("of the cases before")
    result = run(pytester)
    assert not (pytester.path / "out.json.unfinished").exists()
    result.stdout.fnmatch_lines(["endings: *'FAIL', 'The run could not be written to *"])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["The run could not be written to *out.json: No space left on device; it is in *"])
    (line,) = [line for line in result.outlines if "it is in" in line and not line.startswith("endings")]
    assert len(json.loads(Path(line.rpartition(" ")[2]).read_text())["benchmarks"]) == 1


def test_outputs_that_fill_the_memory_fail_the_run_and_the_figures_are_written(monkeypatch, tmp_path):
    def fill(*arguments):
        written_before.append(path.exists())
        raise MemoryError

    path, written_before = tmp_path / "out.json", []
    config = types.SimpleNamespace(stash=pytest.Stash())
    config.stash[run_json.PATH] = path
    record = types.SimpleNamespace(outputs={})
    current = types.SimpleNamespace(
        settings=types.SimpleNamespace(save_outputs=tmp_path / "o.npz"), record=record, image_names=()
    )
    monkeypatch.setattr(saved_outputs, "current_session", lambda config: current)
    monkeypatch.setattr(saved_outputs, "save", fill)
    monkeypatch.setattr(run_json, "document", lambda config: {"suite": {}})
    plugins = pytest.PytestPluginManager()
    plugins.register(saved_outputs), plugins.register(run_json)
    session = types.SimpleNamespace(config=config, exitstatus=0, shouldfail=False, shouldstop=False)
    plugins.hook.pytest_sessionfinish(session=session, exitstatus=0)
    assert written_before == [True] and session.exitstatus == pytest.ExitCode.TESTS_FAILED
    assert config.stash[saved_outputs.SAVED] == "The outputs could not be written: memory ran out"


def test_every_case_of_a_model_is_listed_with_its_outcome(pytester):
    pytester.makeconftest(SESSION)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("model, twin", [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")])
        def test_case(session, model, twin, broken):
            assert model != "b", "numbers differ"
            if model == "c": pytest.skip("no GPU")

        @pytest.fixture
        def broken(model):
            if model == "d": pytest.fail("the worker died", pytrace=False)
        """
    )
    assert run(pytester).ret == 1
    cases = {case["model"]: case for case in written(pytester)["suite"]["cases"]}
    assert {name: case["outcome"] for name, case in cases.items()} == {
        "a": "passed",
        "b": "failed",
        "c": "skipped",
        "d": "error",
    }
    assert cases["a"]["reason"] is None and cases["a"]["nodeid"].endswith("test_case[a-x]")
    assert "numbers differ" in cases["b"]["reason"]
    assert cases["c"]["reason"] == "no GPU" and cases["d"]["reason"] == "the worker died"
