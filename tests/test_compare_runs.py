"""python -m fixtures.compare: what makes a regression, what cannot be compared, and the exit codes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import numpy
import pytest

from fixtures.compare.__main__ import main
from fixtures.golden import save
from tests import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")


class Compared:
    """Compares documents and keeps what came of it."""

    def __init__(self, tmp_path, capsys):
        self.folder, self.capsys = tmp_path, capsys

    def __call__(self, *documents, options=()):
        paths = [str(data.write(self.folder, f"{index}.json", one)) for index, one in enumerate(documents)]
        self.code = main([*paths, "--json", str(self.folder / "report"), *options])
        self.out, self.err = self.capsys.readouterr()
        self.report = json.loads((self.folder / "report").read_text()) if self.code != 2 or self.out else None
        return self.code

    def verdict(self, metric, case=TWIN):
        (found,) = [j for j in self.report["judgements"] if (j["model"], j["twin"], j["metric"]) == (*case, metric)]
        return found["verdict"]


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def changed(section, **fields):
    """A document in which one object of `suite` differs."""
    document = data.document(seed=1)
    data.row(document, section, *TWIN).update(fields)
    return document


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


def test_noise_is_unsure_passes_and_is_shown(compared):
    assert compared(data.document(), data.document(seed=4, scatter=0.3)) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert "unsure" in compared.report["headline"]
    assert "UNSURE" in compared.out


def test_a_machine_that_moved_is_named_and_the_speed_up_judged(compared):
    document = data.document(seed=1)
    for model in data.MODELS:
        for twin in data.TWINS:
            document = data.slow_down(document, 1.1, model, twin, eager=1.1)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") != "WORSE"
    assert "The machine moved: eager is 1" in compared.out
    assert "slower than in the base on orin" in compared.out
    # A twin that is slower than the machine explains is still found.
    assert compared(data.document(), data.slow_down(document, 1.1, *TWIN)) == 1


@pytest.mark.parametrize("versions", [{}, {"torch": "99"}])
def test_where_everything_is_slower_the_machine_is_named(compared, versions):
    """Also across versions, where eager is no control and each twin is judged by the clock."""

    def slower(*twins, eager):
        document = data.document(seed=1, **versions)
        for twin, factor in zip(data.TWINS, twins):
            for model in data.MODELS:
                document = data.slow_down(document, factor, model, twin, eager=eager)
        compared(data.document(), document)
        return "Everything is slower, eager and every twin" in compared.out

    assert slower(1.2, 1.22, eager=1.0) is False
    assert slower(1.2, 1.22, eager=1.21) is True
    assert "the machine, not the twins" in compared.out
    assert slower(1.2, 1.8, eager=1.2) is False
    assert slower(1.0, 1.0, eager=1.2) is False
    assert slower(0.8, 0.8, eager=0.8) is False


def test_a_machine_that_moved_a_lot_leaves_more_in_doubt(compared):
    """Work that competes for the processor slows eager and twin by unlike factors."""
    assert compared(data.document(), data.slow_down(data.document(seed=1), 1.7, *TWIN, eager=1.5)) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert compared(data.document(), data.slow_down(data.document(seed=1), 3, *TWIN, eager=1.5)) == 1


@pytest.mark.parametrize("factor", [0.02, 0.4, 2.5, 100])
def test_an_absurd_control_judges_nothing(compared, factor):
    """A run beside other work on the cores has seen eager a hundred times slower, and the twin four times."""
    document = data.slow_down(data.document(seed=1), 1.0, *TWIN, eager=factor)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") == compared.verdict("speedup_vs_eager") == "UNSURE"
    assert "of which little is left" in compared.out
    twin = 3.9 if factor > 1 else 1 / 3.9
    assert compared(data.document(), data.slow_down(data.document(seed=1), twin, *TWIN, eager=factor)) == 0


def test_a_machine_that_became_faster_hides_no_regression(compared):
    document = data.slow_down(data.document(seed=1), 1.15, *TWIN, eager=0.88)
    assert compared(data.document(), document) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"


def test_an_eager_that_became_faster_alone_accuses_no_twin_and_is_shown(compared):
    """Eager of equal runs moved by an eighth where the twin held still."""
    document = data.slow_down(data.document(seed=1), 1.0, *TWIN, eager=0.8)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert "by its own clock the twin is not WORSE" in compared.out


@pytest.mark.parametrize("which", [0, 1])
def test_a_run_that_did_not_hold_still_accuses_nobody_and_says_why(compared, which):
    runs = [data.document(), data.slow_down(data.document(seed=1), 1.4, *TWIN)]
    reason = "others took 51% of the CPU"
    data.benchmark(runs[which], *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    assert compared(*runs) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert f"the machine did not hold still: {reason}" in compared.out


def test_a_machine_that_did_not_hold_still_excuses_no_more_than_half_as_much_again(compared):
    for twin, eager, code in ((1.7, 1.0, 1), (9.0, 1.0, 1), (9.0, 2.5, 1), (3.9, 0.4, 1), (1.7, 1.7, 0), (1.0, 0.5, 0)):
        new = data.slow_down(data.document(seed=1), twin, *TWIN, eager=eager)
        data.benchmark(new, *TWIN)["extra_info"].update(stable=False, unstable_reason="drifted by +30%")
        assert compared(data.document(), new) == code, (twin, eager)
        assert compared.verdict("latency_p50_s") == ("WORSE" if code else "UNSURE")
        assert ("which no unrest excuses" in compared.out) == bool(code)


def test_a_peak_barely_beyond_the_limit_is_unsure(compared):
    """Of equal runs the host's peak differs by up to 12 %."""
    for growth, verdict, code in ((1.09, "SAME", 0), (1.12, "UNSURE", 0), (1.2, "WORSE", 1)):
        grown = changed("startup", host_run_peak_bytes=int(200 * data.MIB * growth))
        assert compared(data.document(), grown) == code
        assert compared.verdict("host_run_peak_bytes") == verdict
        assert compared(grown, data.document()) == 0


@pytest.mark.parametrize("key", ["torch", "cuda", "cudnn"])
def test_across_versions_eager_is_no_control(compared, key):
    """A newer torch may speed eager up or slow it down: neither excuses the twin nor accuses it."""
    newer = data.document(seed=1, **{key: "99"})
    assert compared(data.document(), data.slow_down(newer, 1.3, *TWIN, eager=1.3)) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"
    assert compared(data.document(), data.slow_down(newer, 1.0, *TWIN, eager=0.7)) == 0
    assert compared.verdict("latency_p50_s") == "SAME"
    assert compared.verdict("speedup_vs_eager") == "WORSE"
    assert "no control" in compared.out


def test_eager_itself_is_shown_and_never_gated(compared):
    document = data.document(seed=1, torch="2.9")
    extra = data.benchmark(document, "resnet18", "eager_fp32")["extra_info"]
    extra["latency_p50_s"] *= 2
    extra["blocks_s"]["twin"] = [block * 2 for block in extra["blocks_s"]["twin"]]
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s", ("resnet18", "eager_fp32")) == "WORSE"


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
    # Skipped before as well is nothing new; failed before as well is still not fit to go in.
    assert compared(document, document) == (0 if outcome == "skipped" else 1)


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
    assert compared(skipped, gone) == 0  # What never ran cannot be missed.


DIFFERENT = {
    "GPU": (data.document(seed=1, gpu="Thor"), "latency_p50_s"),
    "no GPU": (data.document(seed=1, gpu=None), "latency_p50_s"),
    "power mode": (data.document(seed=1, power_mode="15W"), "latency_p50_s"),
    "photographs": (data.document(seed=1), "max_relative_error"),
    "weights": (data.document(seed=1), "accuracy_top1"),
    "source of memory": (data.document(seed=1), "device_run_peak_bytes"),
}
DIFFERENT["photographs"][0]["suite"]["images"] = "other"
DIFFERENT["weights"][0]["suite"]["weights"].update(seed=1)
for bench in DIFFERENT["source of memory"][0]["benchmarks"]:
    bench["extra_info"]["device_memory_source"] = "free memory"


@pytest.mark.parametrize(("document", "metric"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_does_not_mean_the_same_is_exit_code_2_unless_allowed(compared, document, metric):
    assert compared(data.document(), document) == 2
    assert compared.verdict(metric) == "DIFFERENT"
    assert "--allow-different" in compared.out
    assert "SAME" in {judgement["verdict"] for judgement in compared.report["judgements"]}
    assert compared(data.document(), document, options=("--allow-different",)) == 0
    assert compared.verdict(metric) == "SAME"


def test_a_cpu_run_on_another_processor_is_different(compared):
    cpu = {"brand_raw": "Xeon", "count": 2}
    assert compared(data.document(gpu=None), data.document(seed=1, gpu=None, cpu=cpu)) == 2
    assert compared(data.document(), data.document(seed=1, cpu=cpu)) == 0


def test_made_weights_are_the_same_by_recipe_and_seed_and_files_by_digest(compared):
    def with_weights(**weights):
        document = data.document(seed=1)
        document["suite"]["weights"] = weights
        return document

    folder = with_weights(recipe="folder", seed=None, digests={"resnet18": "a", "mobilenet_v2": "b"})
    assert compared(folder, with_weights(recipe="pretrained", seed=None, digests={"resnet18": "a"})) == 0
    assert compared(folder, with_weights(recipe="folder", seed=None, digests={"resnet18": "other"})) == 2
    assert compared(folder, with_weights(recipe="folder", seed=None, digests={"vgg16": "a"})) == 2
    assert compared(folder, data.document()) == 2
    assert compared(with_weights(recipe="calibrated-2", seed=0), data.document()) == 2


def test_jetpack_and_tensorrt_may_differ(compared):
    assert compared(data.document(), data.document(seed=1, jetpack="7.0", tensorrt="10.13", driver="580")) == 0
    lines = compared.out.splitlines()
    assert any(line.split() == ["JetPack", "6.2", "7.0", "differs"] for line in lines)
    assert any(line.split() == ["TensorRT", "10.3.0", "10.13", "differs"] for line in lines)


def test_runs_without_a_common_case_are_not_comparable(compared):
    assert compared(data.document(), data.plain(data.document())) == 2
    assert "no figure of any case in common" in compared.out
    empty = data.document(models=())
    assert compared(empty, data.document()) == compared(data.document(), empty) == 2


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
    assert "kept neither rounds nor quartiles" in compared.out


def test_one_run_is_reported(compared):
    document = data.document()
    data.row(document, "cases", *TWIN).update(outcome="failed", reason="got 3")
    assert compared(document) == 0
    assert "resnet18 tensorrt_fp16: failed" in compared.out
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
    """And a run in between that cannot tell is no return."""
    good, bad = data.document(seed=1), data.slow_down(data.document(seed=2), 1.2, *TWIN)
    data.row(bad, "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="skipped", reason="no TensorRT")
    noisy = data.slow_down(data.document(seed=4, scatter=0.3), 1.1, *TWIN)
    data.row(noisy, "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="skipped", reason="no TensorRT")
    assert compared(data.document(), bad, good, bad, noisy, bad) == 1
    (since,) = {j["since"] for j in compared.report["judgements"] if j["metric"] == "latency_p50_s" and j["since"]}
    assert since.endswith("3.json")
    assert compared.report["changes"][0]["since"].endswith("3.json")


def test_a_regression_that_was_mended_passes(compared):
    bad = data.slow_down(data.document(seed=1), 1.2, *TWIN)
    assert compared(data.document(), bad, data.document(seed=2)) == 0


@pytest.fixture
def outputs(tmp_path):
    """Writes golden outputs and returns the path."""

    def write(name, photographs=("a.jpg", "b.jpg"), **arrays):
        path = tmp_path / name
        save(path, {key.replace("__", "/"): numpy.array(value, float) for key, value in arrays.items()}, photographs)
        return str(path)

    return write


EAGER, TWINS = {"resnet18__eager_fp32__output": [[1, 2], [3, 1]]}, {"resnet18__tensorrt_fp16__output": [[1, 2], [3, 1]]}


def test_golden_outputs_show_a_drift_of_reference_and_twin_together(compared, outputs):
    base = outputs("base.npz", **EAGER, **TWINS)
    same = outputs("same.npz", **EAGER, **TWINS)
    both = outputs("both.npz", **{key: [[2, 1], [3, 1]] for key in (*EAGER, *TWINS)})
    runs = data.document(), data.document(seed=1)
    assert compared(*runs, options=("--outputs", base, same)) == 0
    assert compared.verdict("output_drift") == "SAME"
    assert compared(*runs, options=("--outputs", base, both)) == 1
    assert compared.verdict("output_drift") == compared.verdict("output_drift", ("resnet18", "eager_fp32")) == "WORSE"
    assert "top-1 changed on 1 of 2 photographs" in compared.out


def test_golden_outputs_that_vanished_or_are_no_numbers_count(compared, outputs):
    base = outputs("base.npz", **EAGER, **TWINS)
    runs = data.document(), data.document(seed=1)
    assert compared(*runs, options=("--outputs", base, outputs("less.npz", **EAGER))) == 1
    assert "saved outputs" in compared.out
    nan = {"resnet18__eager_fp32__output": [[numpy.nan, 1], [3, 1]]}
    assert compared(*runs, options=("--outputs", base, outputs("nan.npz", **{**TWINS, **nan}))) == 1
    assert "not finite" in compared.out
    shape = {"resnet18__eager_fp32__output": [[1, 2, 3], [3, 1, 2]]}
    assert compared(*runs, options=("--outputs", base, outputs("shape.npz", **{**TWINS, **shape}))) == 1
    (row,) = [line for line in compared.out.splitlines() if "shape (2, 3), was (2, 2)" in line]
    assert "not a number" not in row
    unknown = outputs("unknown.npz", resnet18__own_fp8__output=[[1, 2]])
    assert compared(*runs, options=("--outputs", unknown, unknown)) == 0
    assert "not a number" not in compared.out


def test_golden_outputs_that_hold_none_are_refused(compared, outputs):
    """A run that answered nothing, or a file of something else, must not pass for one without a drift."""
    full, empty = outputs("full.npz", **EAGER), outputs("empty.npz")
    numpy.savez(full.replace("full", "other"), a=numpy.zeros(3))
    runs = data.document(), data.document(seed=1)
    for pair in ((empty, empty), (empty, full), (full, empty), (full, full.replace("full", "other"))):
        assert compared(*runs, options=("--outputs", *pair)) == 2
        assert compared.err.count("\n") == 1
        assert "holds no outputs" in compared.err


def test_golden_outputs_of_other_photographs_or_damaged_are_one_line(compared, outputs, tmp_path):
    base = outputs("base.npz", **EAGER)
    other = outputs("other.npz", photographs=("a.jpg", "c.jpg"), **EAGER)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 cut off")
    runs = data.document(), data.document(seed=1)
    for path in (other, str(tmp_path / "bad.npz"), str(tmp_path / "absent.npz")):
        assert compared(*runs, options=("--outputs", base, path)) == 2
        assert compared.err.count("\n") == 1
    assert compared(data.document(), options=("--outputs", base, base)) == 2
    assert "name their JSON files as well" in compared.err


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


def test_a_reader_that_leaves_early_is_no_error(tmp_path, root):
    """`| head -1`: no traceback, and the exit code stays the comparison's."""
    paths = [str(data.write(tmp_path, f"{i}.json", data.document(seed=i))) for i in range(2)]
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "fixtures.compare", *paths]
    done = subprocess.run(command, cwd=root, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_gate_is_exit_code_2(compared):
    assert compared(data.document(), data.document(), options=("--fail-on", "latncy")) == 2
    assert "latncy" in compared.err
