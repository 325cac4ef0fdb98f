"""python -m twins.compare: cases that vanished, were skipped or failed, and figures that are missing."""

from __future__ import annotations

import json

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import TWIN, Compared


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def test_a_vanished_case_counts_and_a_new_one_is_listed(compared):
    without = data.without(data.document(seed=1), *TWIN)
    assert compared(data.document(), without) == 1
    assert "resnet18 tensorrt_fp16: vanished" in compared.out
    assert compared(without, data.document()) == 0
    assert "appeared" in compared.out
    assert compared(data.document(), without, options=("--fail-on", "latency")) == 0


def test_a_renamed_file_hides_nothing(compared):
    document = data.slow_down(data.document(seed=1), 3.0, *TWIN)
    text = json.dumps(document).replace("benchmarks/test_latency.py", "benchmarks/test_speed.py")
    assert compared(data.document(), json.loads(text)) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"
    assert compared.report["changes"] == []


@pytest.mark.parametrize("outcome", ["skipped", "failed", "error"])
def test_a_case_that_is_skipped_or_fails_counts_with_its_reason(compared, outcome):
    document = data.document(seed=1)
    data.row(document, "cases", *TWIN).update(outcome=outcome, reason="no TensorRT here")
    assert compared(data.document(), document) == 1
    assert "no TensorRT here" in compared.out
    # What the base also had is not new. A failure is listed.
    assert compared(document, document) == 0
    listed = [(change["what"], change["counts"]) for change in compared.report["changes"]]
    assert listed == ([("skipped", False)] if outcome == "skipped" else [("failed in both", False)])
    assert ("1 known failure" in compared.report["headline"]) == (outcome != "skipped")


def test_a_figure_that_is_missing_counts(compared):
    document = data.document(seed=1)
    data.benchmark(document, *TWIN)["extra_info"]["device_run_peak_bytes"] = None
    assert compared(data.document(), document) == 1
    assert "figure missing" in compared.out
    assert "device peak, running" in compared.out


def test_a_test_that_appeared_hides_no_missing_figure(compared):
    document = data.document(seed=1)
    document["suite"]["agreement"] = []
    case = {**data.row(document, "cases", *TWIN), "nodeid": "benchmarks/test_new.py::test_new[resnet18-tensorrt_fp16]"}
    for outcome in ("passed", "skipped"):
        document["suite"]["cases"].append({**case, "outcome": outcome})
        assert compared(data.document(), document) == 1
        assert "resnet18 tensorrt_fp16: figure missing" in compared.report["reasons"]
        document["suite"]["cases"].pop()


def test_a_speed_up_that_is_missing_counts(compared):
    document = data.document(seed=1)
    data.benchmark(document, *TWIN)["extra_info"].update(speedup_vs_eager=None)
    assert compared(data.document(), document, options=("--fail-on", "speedup,missing")) == 1
    assert compared.report["changes"][0]["tests"] == ["speed-up"]


def test_what_failed_in_the_base_is_missed_where_it_no_longer_runs(compared):
    base = data.document()
    data.row(base, "cases", *TWIN).update(outcome="failed", reason="got 3")
    skipped = data.document(seed=1)
    data.row(skipped, "cases", *TWIN).update(outcome="skipped", reason="no TensorRT")
    gone = data.document(seed=1)
    gone["suite"]["cases"].remove(data.row(gone, "cases", *TWIN))
    assert compared(base, skipped) == compared(base, gone) == 1
    assert compared(skipped, gone) == 0  # What never ran cannot be missing.
