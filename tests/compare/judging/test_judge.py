"""One figure in two runs: the change that is reported with the verdict, and figures that only one run has."""

from __future__ import annotations

import copy
import math

import pytest

from fixtures.compare.judging.judge import judge, judge_all
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.judging.pair import Pair
from fixtures.compare.judging.shift import eager_s, shift, twin_to_eager
from fixtures.compare.judging.verdict import BETTER, SAME, WORSE
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.metrics import LATENCY, SCALARS, SPEED_UP
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
METRICS = {metric.key: metric for metric in SCALARS}


def pair_of(base, new, allow_different=False):
    return Pair(run_of(base, "base"), run_of(new, "new"), parse_gate(DEFAULT_FAIL_ON), allow_different)


def name_of(pair, metric):
    """The name of the one case of TWIN that has this figure in the base."""
    names = pair.timed if metric in (LATENCY, SPEED_UP) else pair.base.figures[metric.key]
    (found,) = [name for name in names if (name.model, name.twin) == TWIN]
    return found


def judged(metric, base, new):
    """The judgement, which always has both figures: the blocks' middle, which is near the median of the calls."""
    pair = pair_of(base, new)
    name = name_of(pair, metric)
    found = judge(pair, metric, name)
    for got, run in ((found.base, pair.base), (found.new, pair.new)) if found else ():
        expected = run.figure(metric, name)
        assert got == (expected if expected is None else pytest.approx(expected, rel=0.02))
    return found


def with_figure(section, key, value):
    run = data.document(models=["resnet18"], twins=["tensorrt_fp16"])
    row = data.row(run, section, *TWIN)
    row[key] = value
    if value is None:
        row["ok"] = False
    return run


@pytest.mark.parametrize(
    ("section", "key", "metric", "values", "change", "verdict"),
    [
        ("startup", "host_run_peak_bytes", "host_run_peak_bytes", (200 * data.MIB, 300 * data.MIB), 0.5, WORSE),
        ("startup", "build_s", "build_s", (40, 10), -0.75, BETTER),
        ("startup", "engine_bytes", "engine_bytes", (100, 100), 0.0, SAME),
        ("startup", "engine_bytes", "engine_bytes", (0, 7), None, WORSE),
        ("agreement", "max_relative_error", "max_relative_error", (1e-6, 4e-6), 3.0, WORSE),
        ("agreement", "max_relative_error", "max_relative_error", (None, 1e-6), None, BETTER),
        ("agreement", "max_relative_error", "max_relative_error", (1e-6, None), None, WORSE),
        ("agreement", "top1_same", "top1_changed", (50, 47), 3, WORSE),
        ("agreement", "top1_same", "top1_changed", (47, 50), -3, BETTER),
        ("accuracy", "top1", "accuracy_top1", (0.98, 0.9), -0.08, WORSE),
    ],
)
def test_the_change_of_one_number_is_a_share_or_of_counts_and_shares_a_difference(
    section, key, metric, values, change, verdict
):
    base, new = (with_figure(section, key, value) for value in values)
    found = judged(METRICS[metric], base, new)
    assert found.verdict == verdict and found.interval is None and found.metric.key == metric
    assert found.change == (None if change is None else pytest.approx(change))
    assert (found.weight == math.inf) == (change is None)


@pytest.mark.parametrize("side", [0, 1])
def test_a_speed_up_that_one_run_lacks_is_not_judged_and_its_latency_is(side):
    runs = [data.document(models=["resnet18"], seed=seed) for seed in (0, 1)]
    extra = data.benchmark(runs[side], *TWIN)["extra_info"]
    extra["speedup_vs_eager"] = None
    extra["blocks_s"]["eager"] = None
    assert judged(SPEED_UP, *runs) is None
    found = judged(LATENCY, *runs)
    assert found.verdict == SAME and found.interval is not None
    pair = pair_of(*runs)
    metrics_of = [judgement.metric for judgement in judge_all(pair) if judgement.name == name_of(pair, LATENCY)]
    assert LATENCY in metrics_of and SPEED_UP not in metrics_of and None not in judge_all(pair)


@pytest.mark.parametrize("side", [0, 1])
def test_a_latency_that_one_run_lacks_is_not_judged(side):
    runs = [data.document(models=["resnet18"]), data.document(models=["resnet18"], seed=1)]
    pair = pair_of(*runs)
    name = name_of(pair, LATENCY)
    runs[side] = data.without(runs[side], *TWIN)
    pair = pair_of(*runs)
    assert judge(pair, LATENCY, name) is None and judge(pair, SPEED_UP, name) is None
    assert name not in [judgement.name for judgement in judge_all(pair)]


def test_eagers_change_puts_a_speed_up_in_doubt_only_where_eager_is_the_control():
    base = data.document(models=["resnet18"])
    new = data.slow_down(data.document(models=["resnet18"], seed=1), 1.3, *TWIN, eager=1.3)
    other_torch = copy.deepcopy(new)
    other_torch["machine_info"]["torch"] = "2.6.0"
    pair = pair_of(base, new)
    name = name_of(pair, SPEED_UP)
    plain = shift(pair.base.timings[name], pair.new.timings[name], twin_to_eager)
    eager = shift(pair.base.timings[name], pair.new.timings[name], eager_s)
    assert eager.log == pytest.approx(math.log(1.3), abs=0.05)

    def width(found):
        low, high = (math.log1p(end) for end in found.interval)
        return high - low

    controlled, alone = judged(SPEED_UP, base, new), judged(SPEED_UP, base, other_torch)
    assert width(alone) == pytest.approx(plain.high - plain.low)
    assert width(controlled) > 1.5 * width(alone)
    assert controlled.change == pytest.approx(math.expm1(-plain.log)) == alone.change
    assert controlled.interval[0] < controlled.change < controlled.interval[1]


def test_what_does_not_mean_the_same_is_not_judged_and_says_what_differs():
    base, new = data.document(models=["resnet18"]), data.document(models=["resnet18"], gpu="H200")
    pair = pair_of(base, new)
    found = judge(pair, LATENCY, name_of(pair, LATENCY))
    assert (found.verdict, found.note, found.interval) == ("DIFFERENT", "different GPU", None)
    assert found.change == pytest.approx(0)
    allowed = pair_of(base, new, allow_different=True)
    assert judge(allowed, LATENCY, name_of(allowed, LATENCY)).verdict == SAME
