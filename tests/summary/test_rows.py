"""Tests of the tables and verdicts that a run prints: what is in them, and that they fit any width."""

from __future__ import annotations

import pytest

from fixtures.checks.timing import real_time
from fixtures.common.table import fitted
from fixtures.judge import stability
from fixtures.run.record import Record
from fixtures.summary import rows

CASE = {"model": "resnet18", "twin": "tensorrt_fp16"}


def latency(record, stable=True, **fields):
    figures = {"latency_p50_s": 0.00412, "speedup_vs_eager": 11.95, "speedup_ci95": [11.9, 12.0]}
    reason = None if stable else "others took 75% of the CPU"
    record.add("latency", **CASE, **figures, stable=stable, unstable_reason=reason, **fields)


def end_to_end(record, stable=True):
    stages = {f"{stage}_p50_s": 0.001 for stage in ("decode", "preprocess", "run", "answer", "total")}
    reason = None if stable else "others took 72% of the CPU; drifted by +9%"
    real_time = {"realtime": True, "realtime_fps": 114.2, "stable": stable, "unstable_reason": reason}
    record.add("end_to_end", **CASE, **stages, **real_time, preprocessing_share=0.5)


def judged(record):
    record.add("agreement", **CASE, max_relative_error=2.9e-6, top1_same=49, top1_total=50)
    record.add("accuracy", **CASE, top1=0.88, top5=1.0, total=50)
    record.add("mutants", **CASE, refused=13, total=13)


def ran(record, **outcomes):
    for test, (outcome, reason) in outcomes.items():
        record.cases.append({"nodeid": f"a.py::test_{test}[x]", **CASE, "outcome": outcome, "reason": reason})


def test_a_row_has_every_figure_of_its_case():
    record = Record()
    latency(record), end_to_end(record), judged(record)
    record.add("startup", **CASE, host_run_peak_bytes=101 * 2**20)
    (row,) = rows.table_rows(record)
    assert row == {
        **CASE, "batch": "", "latency ms": "4.12", "speed-up": "11.95", "95 % interval": "11.90–12.00",
        "real time": "yes (114/s)", "max error": "2.9e-06", "same": "49/50", "accuracy": "88%", "mutants": "13/13",
        "peak MiB": "101",
    }  # fmt: skip


def test_what_is_unstable_is_marked_at_the_figure_and_not_used():
    record = Record()
    latency(record, stable=False), end_to_end(record, stable=False)
    (row,) = rows.table_rows(record)
    assert (row["latency ms"], row["speed-up"], row["95 % interval"]) == ("4.12 !", "unstable", "–")
    assert row["real time"] == "unstable"
    assert rows.stage_rows(record)[0]["total"] == "1.00 !"
    ran(record, latency=("passed", None))
    (verdict,) = rows.verdicts(record)
    assert verdict == (
        "PASS",
        "resnet18 tensorrt_fp16: 1 test passed; unstable: others took 75% of the CPU, drifted by +9%",
    )


def test_each_figure_is_judged_by_its_own_stability():
    record = Record()
    latency(record), end_to_end(record, stable=False)
    (row,) = rows.table_rows(record)
    assert (row["latency ms"], row["speed-up"], row["real time"]) == ("4.12", "11.95", "unstable")


def test_the_few_calls_of_a_slow_model_are_enough_for_real_time():
    record = Record()
    end_to_end(record)
    record.add("end_to_end", **CASE, stable=False, unstable_reason="only 16 rounds")
    assert rows.table_rows(record)[0]["real time"] == "yes (114/s)"


@pytest.mark.parametrize("reasons", [(None, None), ("drifted by +20%", None), ("only 3 blocks", "GPU throttled: heat")])
def test_stability_is_judged_by_the_calls_and_the_machine(reasons):
    found = stability.verdict(*reasons)
    assert found["stable"] is (reasons == (None, None))
    assert found["unstable_reason"] == ("; ".join(filter(None, reasons[::-1])) or None)


def test_a_latency_row_gets_the_real_time_of_its_case_when_the_run_is_written():
    record, info = Record(), {**CASE, "batch_size": 1, "realtime": None}
    record.add("end_to_end", "alexnet", "tensorrt_fp16", realtime=False)
    assert real_time(record, info) == {"realtime": None}
    end_to_end(record)
    assert real_time(record, info) == {"realtime": True}
    assert real_time(record, {**info, "batch_size": 8}) == real_time(record, {**info, "total_p50_s": 1.0}) == {}


def test_what_was_not_timed_has_no_row_of_dashes():
    record = Record()
    record.add("throughput", **CASE, latency_p50_s=None, stable=None, out_of_memory=None)
    record.add("end_to_end", **CASE, realtime=None, realtime_fps=None, stable=None)
    assert rows.table_rows(record) == [] and rows.stage_rows(record) == []


def test_several_batch_sizes_are_named():
    record = Record()
    latency(record), latency(record, batch_size=8)
    assert [row["batch"] for row in rows.table_rows(record)] == ["1", "8"]


def test_the_verdict_is_one_line_a_case():
    record = Record()
    ran(record, latency=("passed", None), agreement=("failed", "AssertionError: off by 0.3\nand more"),
        startup=("error", "the worker died"))  # fmt: skip
    for model, twin, outcome, reason in (
        ("alexnet", None, "passed", None),
        ("vgg11", None, "error", "no"),
        ("vgg11", "cpu_fp32", "skipped", "no GPU"),
    ):
        record.cases.append(
            {"nodeid": "a.py::test_images[y]", "model": model, "twin": twin, "outcome": outcome, "reason": reason}
        )
    assert rows.verdicts(record) == [
        ("FAIL", "resnet18 tensorrt_fp16: agreement, startup: AssertionError: off by 0.3"),
        ("FAIL", "vgg11: images: no"),
        ("SKIP", "vgg11 cpu_fp32: no GPU"),
    ]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_columns_give_way_in_their_order_until_the_table_fits(width):
    record = Record()
    latency(record), end_to_end(record), judged(record)
    record.add("startup", **CASE, host_run_peak_bytes=101 * 2**20)
    found = [{**row, "batch": "1"} for row in rows.table_rows(record)]
    lines, dropped = fitted(found, width, rows.LEFT, rows.GIVES_WAY)
    assert max(map(len, lines)) <= width
    assert tuple(dropped) == rows.GIVES_WAY[: len(dropped)] and (dropped == []) == (width == 200)
    shown = "\n".join(lines)
    assert all((row in shown) for row in ("resnet18", "tensorrt_fp16", "4.12", "11.95", "yes (114/s)"))


def test_a_name_wider_than_the_terminal_is_shortened_and_not_wrapped():
    row = {"model": "m" * 90, "latency ms": "1.00"}
    lines, _ = fitted([row], 80, ("model",), ())
    assert len(lines) == 3 and max(map(len, lines)) <= 80 and "…" in lines[2] and "1.00" in lines[2]


def test_a_section_that_nothing_writes_is_refused():
    with pytest.raises(ValueError, match="no section 'latancy'"):
        Record().add("latancy", "m", "t")
    record = Record()
    record.add("latency", "m", "t")
    assert "latency" not in record.suite(), "the JSON has it as the benchmarks' extra_info"


def test_notes_are_a_line_for_the_model_and_one_for_the_twin():
    record = Record()
    record.add("reference", "resnet18", "eager_fp32", notes=["depends on the batch"])
    record.add("agreement", **CASE, notes=["depends on the batch", "TracerWarning: a constant"])
    assert rows.note_lines(record) == [
        " resnet18: depends on the batch",
        " resnet18 tensorrt_fp16: TracerWarning: a constant",
    ]
    assert rows.note_lines(Record()) == []
