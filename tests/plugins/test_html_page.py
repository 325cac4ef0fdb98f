"""--html: the page of a run is written when the run ends, whatever its outcome, and refused early if it cannot be."""

from __future__ import annotations

import json

import pytest

from fixtures.compare.__main__ import main
from fixtures.plugins import options
from fixtures.run.settings import option_name, option_of
from tests.helpers import compare_data as data

TINY = ("--models", "tiny", "--twins", "onnxruntime_fp32", "--benchmark-max-time", "0.02", "-p", "no:cacheprovider")


@pytest.fixture(scope="module")
def tiny(root, run_pytest, tmp_path_factory):
    """tiny(…options) -> (finished run of the tiny model, its folder)."""
    folder = tmp_path_factory.mktemp("page")

    def run(*options):
        command = [root / "benchmarks", "--model-file", root / "tests" / "model_files" / "tiny_models.py", *TINY]
        return run_pytest([*command, "--engine-dir", folder / "engines", *options]), folder

    return run


def test_the_page_is_written_from_the_run_and_from_its_json(tiny, capsys):
    folder = tiny("--collect-only", "-q")[1]
    done, _ = tiny("--html", folder / "run.html", "--benchmark-json", folder / "out.json", "-k",
                   "agreement or top1 or latency or end_to_end or startup")  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"Wrote the page to {folder / 'run.html'}" in done.stdout
    assert main([str(folder / "out.json"), "--html", str(folder / "again.html")]) == 0
    for name in ("run.html", "again.html"):
        page = (folder / name).read_text(encoding="utf-8")
        assert "<p>1 twin agrees</p>" in page and "compared with" not in page
        # Error against speed needs a stable timing.
        titles = ("Latency per block", "Stages of a frame", "Host peak, running")
        assert all(f">{title}</h3>" in page for title in titles)
        assert '<img src="data:image/jpeg;base64,' in page, "the suite's own images are at hand"
    (row, *_) = json.loads((folder / "out.json").read_text())["suite"]["end_to_end"]
    assert row["frame_budget_s"] == pytest.approx(1 / 30)


def test_a_failing_run_has_a_page_that_names_what_failed(tiny, root, tmp_path):
    wrong = root / "tests" / "model_files" / "wrong_models.py"
    done, _ = tiny("--model-file", wrong, "--models", "argmax", "--html", tmp_path / "page.html", "-k", "agreement")
    assert done.returncode == 1, done.stdout
    assert "1 fails: argmax" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_path_that_cannot_be_written_is_refused_before_anything_runs(tiny, tmp_path):
    done, _ = tiny("--html", tmp_path, "-k", "agreement")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR and "cannot be written: " in done.stderr


def test_a_collection_writes_no_page(tiny, tmp_path):
    assert tiny("--html", tmp_path / "page.html", "--collect-only")[0].returncode == 0
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("beside_pytest_html", [True, False])
def test_pytest_html_keeps_its_option(beside_pytest_html):
    config = pytest.Config.fromdictargs({}, ["-p", "no:cacheprovider"])
    parser = pytest.Parser(_ispytest=True)
    if beside_pytest_html:
        parser.getgroup("terminal reporting").addoption("--html", dest="htmlpath")
    options.pytest_addoption(parser)
    name = "--twins-html" if beside_pytest_html else "--html"
    config.option = parser.parse_known_args([f"{name}=ours.html"])
    assert str(option_of(config, "html")) == "ours.html" and option_name(config, "html") == name
    assert getattr(config.option, "htmlpath", None) is None


def test_images_of_another_run_are_refused(tmp_path, root, capsys):
    path = data.write(tmp_path, "out.json", data.document())
    assert main([str(path), "--html", str(tmp_path / "page.html"), "--images", str(root / "images")]) == 2
    assert "holds other images than" in capsys.readouterr().err
    assert main([str(path), "--html", str(tmp_path / "page.html")]) == 0
    assert "<img" not in (tmp_path / "page.html").read_text()
