"""python -m twins.compare: what makes a regression, histories, reports, and the exit codes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import pytest

from fixtures.compare.__main__ import main
from tests.helpers import compare_data as data
from tests.helpers.compared import TWIN, Compared, changed


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def test_two_equal_runs_pass(compared):
    assert compared(data.document(), data.document(seed=1)) == 0
    assert {judgement["verdict"] for judgement in compared.report["judgements"]} == {"SAME"}
    assert "No regression" in compared.out


REGRESSIONS = {
    "latency": ("latency_p50_s", data.slow_down(data.document(seed=1), 1.1, *TWIN)),
    "memory": ("host_run_peak_bytes", changed("startup", host_run_peak_bytes=240 * data.MIB)),
    "error": ("max_relative_error", changed("agreement", max_relative_error=9e-3)),
    "mean error": ("mean_relative_error", changed("agreement", mean_relative_error=9e-4)),
    "not a number": ("max_relative_error", changed("agreement", max_relative_error=None, ok=False)),
    "top-1": ("top1_changed", changed("agreement", top1_same=49)),
    "accuracy": ("accuracy_top1", changed("accuracy", top1=0.96)),
}


# Of a detector and a segmenter: what changed, the metric by which that is seen, and the value.
DENSE = {
    "unmatched": ("unmatched", 1),
    "min_iou": ("iou_error", 0.99),
    "max_drift": ("max_drift", 1e-3),
    "max_changed": ("max_changed", 3e-3),
    "mean_iou": ("mask_error", 0.99),
    "ok": ("refused", False),
}


@pytest.mark.parametrize("key", DENSE)
def test_boxes_and_masks_that_got_worse_are_a_regression(compared, key):
    metric, value = DENSE[key]
    base, new = (data.dense(data.document(seed=1), *TWIN, **fields) for fields in ({}, {key: value}))
    assert compared(base, new) == 1
    assert compared.verdict(metric) == "WORSE"
    assert len(compared.report["reasons"]) == 1
    assert compared(new, base) == 0
    assert compared.verdict(metric) == "BETTER"


def test_boxes_that_are_recorded_and_not_judged_are_not_gated(compared):
    case = ("resnet18", "tensorrt_int8")
    base, new = (data.dense(data.document(seed=1), *case, unmatched=found) for found in (9, 40))
    assert compared(base, new) == 0
    assert compared.verdict("unmatched", case) == "WORSE"
    for run in (base, new):
        run["suite"]["weights"] = {"recipe": "pretrained", "seed": None, "digests": {"resnet18": "a"}}
    assert compared(base, new) == 1


@pytest.mark.parametrize(("metric", "document"), REGRESSIONS.values(), ids=REGRESSIONS.keys())
def test_a_regression_is_exit_code_1_and_the_way_back_an_improvement(compared, metric, document):
    assert compared(data.document(), document) == 1
    assert compared.verdict(metric) == "WORSE"
    assert "Regression" in compared.out
    assert "resnet18 tensorrt_fp16" in compared.report["reasons"][0]
    assert compared(document, data.document()) == 0
    assert compared.verdict(metric) == "BETTER"


def test_the_figures_shown_are_those_judged(compared):
    """Not the median of all calls, which differs from that of the blocks by some percent."""
    new = data.slow_down(data.document(seed=1), 1.2, *TWIN)
    for run in (base := data.document(), new):
        data.benchmark(run, *TWIN)["extra_info"].update(latency_p50_s=0.0021, speedup_vs_eager=4.9)
    assert compared(base, new) == 1
    for metric, change in (("latency_p50_s", 0.2), ("speedup_vs_eager", -1 / 6)):
        (found,) = [j for j in compared.report["judgements"] if (j["model"], j["twin"], j["metric"]) == (*TWIN, metric)]
        assert found["change"] == pytest.approx(found["new"] / found["base"] - 1, abs=1e-9)
        assert found["change"] == pytest.approx(change, abs=0.02)


def test_what_is_not_gated_is_shown_and_passes(compared):
    document = changed("startup", build_s=200.0, engine_bytes=90 * data.MIB)
    assert compared(data.document(), document) == 0
    assert compared.verdict("build_s") == compared.verdict("engine_bytes") == "WORSE"
    assert compared(data.document(), document, options=("--fail-on", "build,engine")) == 1
    assert compared(data.document(), REGRESSIONS["error"][1], options=("--fail-on", "latency")) == 0
    assert compared(data.document(), REGRESSIONS["error"][1], options=("--fail-on", "error:4x")) == 0


def test_an_engine_from_the_cache_is_not_missed(compared):
    document = changed("startup", build_s=None, host_build_peak_bytes=None)
    assert compared(data.document(), document) == 0


def test_a_judgement_that_proves_little_is_not_gated(compared):
    base = data.document()
    data.row(base, "agreement", *TWIN).update(counts=False)
    document = changed("agreement", max_relative_error=0.9, top1_same=20, counts=False)
    assert compared(base, document) == 0
    assert compared.verdict("top1_changed") == "WORSE"
    assert "proves little" in compared.out


def test_a_new_run_cannot_switch_its_own_gate_off(compared):
    assert compared(data.document(), changed("agreement", top1_same=20, counts=False)) == 1
    assert "resnet18 tensorrt_fp16: top-1 unlike eager is worse" in compared.report["reasons"]
    assert compared(data.document(), changed("agreement", counts=False)) == 1
    assert compared.report["reasons"] == ["resnet18 tensorrt_fp16: figure missing"]
    assert "a judgement that counts" in compared.out
    without = data.without(data.document(), *TWIN)
    assert compared(without, changed("agreement", counts=False)) == 0  # It appeared, and was never judged.


def test_plain_files_compare_by_latency(compared):
    base = data.plain(data.document())
    assert compared(base, data.plain(data.document(seed=1))) == 0
    slow = copy.deepcopy(base)
    slow["benchmarks"][0]["stats"]["median"] *= 1.2
    slow["benchmarks"][0]["stats"]["data"] = [round_s * 1.2 for round_s in slow["benchmarks"][0]["stats"]["data"]]
    assert compared(base, slow) == 1
    for document in (base, slow):
        del document["benchmarks"][0]["stats"]["data"]
    assert compared(base, slow) == 1
    del slow["benchmarks"][0]["stats"]["iqr"]
    assert compared(base, slow) == 0
    assert "has neither rounds nor quartiles" in compared.out


def test_one_run_is_reported(compared):
    document = data.document()
    assert compared(document) == 0
    data.row(document, "cases", *TWIN).update(outcome="failed", reason="got 3")
    assert compared(document) == 1
    assert compared.report["headline"] == "3 twins agree, 1 fails: resnet18 tensorrt_fp16 (latency)"
    assert "resnet18 tensorrt_fp16: latency failed" in compared.out
    assert "45.0 MiB" in compared.out


def test_a_history_names_the_first_run_of_a_regression(compared):
    good = [data.document(seed=seed) for seed in range(2)]
    bad = [data.slow_down(data.document(seed=seed), 1.2, *TWIN) for seed in (2, 3)]
    data.row(bad[1], "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="skipped", reason="no TensorRT")
    assert compared(*good, *bad) == 1
    (since,) = {j["since"] for j in compared.report["judgements"] if j["metric"] == "latency_p50_s" and j["since"]}
    assert since.endswith("2.json")
    assert compared.report["changes"][0]["since"].endswith("3.json")
    assert "since" in compared.out


def test_a_regression_that_came_back_is_dated_by_its_return(compared):
    """And an undecided run in between does not count as a return."""
    good, bad = data.document(seed=1), data.slow_down(data.document(seed=2), 1.2, *TWIN)
    data.row(bad, "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="skipped", reason="no TensorRT")
    noisy = data.slow_down(data.document(seed=4, scatter=0.3), 1.1, *TWIN)
    data.row(noisy, "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="skipped", reason="no TensorRT")
    assert compared(data.document(), good, bad, good, good, good, bad, noisy, *[bad] * 4) == 1
    (since,) = {j["since"] for j in compared.report["judgements"] if j["metric"] == "latency_p50_s" and j["since"]}
    assert since.endswith("6.json")
    assert compared.report["changes"][0]["since"].endswith("6.json")


def test_a_regression_that_was_mended_passes(compared):
    bad = data.slow_down(data.document(seed=1), 1.2, *TWIN)
    assert compared(data.document(), bad, data.document(seed=2)) == 0


def test_a_report_that_cannot_be_written_is_one_line(compared, tmp_path):
    assert compared(data.document(), options=("--markdown", str(tmp_path / "no" / "folder.md"))) == 2
    assert "cannot be written" in compared.err
    assert compared.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--markdown", "--html", "--json"])
def test_a_report_is_not_written_over_what_is_compared(capsys, tmp_path, option, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("0.json", "1.json"):
        data.write(tmp_path, name, data.document())
    other = "--json" if option != "--json" else "--html"
    for written in ((option, "1.json"), (option, str(tmp_path / "0.json")), (option, "made", other, "made")):
        assert main(["0.json", "1.json", *written]) == 2
        assert f"{written[-1]} is a run or another report" in capsys.readouterr().err
        assert json.loads((tmp_path / "1.json").read_text()) == data.document()
        assert not (tmp_path / "made").exists()


def test_a_closed_pipe_is_not_an_error(tmp_path, root):
    """`| head -1`: no traceback, and the exit code stays the comparison's."""
    paths = [str(data.write(tmp_path, f"{i}.json", data.document(seed=i))) for i in range(2)]
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "twins.compare", *paths]
    done = subprocess.run(command, cwd=root, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_gate_is_exit_code_2(compared):
    assert compared(data.document(), data.document(), options=("--fail-on", "latncy")) == 2
    assert "latncy" in compared.err
