"""No row contradicts itself: the sign and the size of figures, changes, intervals and verdicts belong together."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.compare.deciding.gate import NO_REGRESSION, REGRESSED, UNDECIDED
from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.judging.verdict import BETTER, SAME, UNSURE, WORSE
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.metrics import SPEED_UP, TIMED
from tests.helpers import compare_data as data

GATE = parse_gate(DEFAULT_FAIL_ON)
FACTOR = st.floats(0.02, 50) | st.floats(0.9, 1.15)
TWIN = ("resnet18", "tensorrt_fp16")
BASE = run_of(data.document(models=("resnet18",)), "base")


@st.composite
def new_runs(draw):
    """A run in which each twin and its control changed by different factors, on a machine that may have changed."""
    document = data.document(
        models=("resnet18",),
        seed=draw(st.integers(1, 5)),
        scatter=draw(st.sampled_from([0.005, 0.05, 0.3])),
        jetpack=draw(st.sampled_from(["6.2", "7.0"])),
        torch=draw(st.sampled_from(["2.5.0", "2.6.0"])),
    )
    eager = draw(FACTOR)
    for twin in data.TWINS:
        document = data.slow_down(document, draw(FACTOR), "resnet18", twin, eager=draw(st.sampled_from([eager, 1.0])))
    reason = draw(st.sampled_from([None, "others took 28% of the CPU", "drifted by +30%", "only 7 rounds"]))
    data.benchmark(document, *TWIN)["extra_info"].update(stable=reason is None, unstable_reason=reason)
    return run_of(document, "new")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(new_runs())
def test_sign_and_size_belong_together(new):
    report = make_report([BASE, new], GATE, allow_different=False)
    for found in report.comparison.judgements:
        if found.metric not in TIMED:
            continue
        assert found.change == pytest.approx(found.new / found.base - 1), "the change is that of the figures shown"
        low, high = found.interval
        assert low <= found.judged <= high
        worse = -found.judged if found.metric is SPEED_UP else found.judged
        clock = -found.change if found.metric is SPEED_UP else found.change
        if found.verdict == WORSE:
            assert worse > 0 and clock > 0 and (low > 0 or high < 0)
            assert found.smallest > 0 and not found.disturbed
        if found.verdict == BETTER:
            assert worse < 0 and clock < 0
        if found.verdict == SAME:
            assert low >= -0.06 and high <= 0.06
        assert found.undecided <= (found.verdict == UNSURE)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(new_runs())
def test_headline_rows_and_notes_say_the_same(new):
    report = make_report([BASE, new], GATE, allow_different=False)
    decision, judgements = report.decision, report.comparison.judgements
    gated = [found for found in judgements if found.gates and found.metric.gate in GATE.fails_on]
    machine = any("the machine, not the twins" in note for note in report.comparison.notes)
    worse = [found for found in gated if found.verdict == WORSE]
    assert not (machine and any(found.metric in TIMED[:2] for found in worse))
    if worse:
        assert decision.outcome == REGRESSED and decision.exit_code == 1
    elif any(found.undecided for found in gated) and decision.outcome != REGRESSED:
        assert decision.outcome == UNDECIDED and decision.exit_code == 0
    elif decision.outcome != REGRESSED:
        assert decision.outcome == NO_REGRESSION


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.floats(1.5, 50), st.floats(0.02, 50))
def test_a_longer_time_is_never_shown_as_a_shorter_one(twin, eager):
    """A report once showed "14.2 → 4.51 ms, × 7.04", because the control had changed by more than the twin."""
    document = data.slow_down(data.document(models=("resnet18",), seed=1), twin, *TWIN, eager=eager)
    report = make_report([BASE, run_of(document, "new")], GATE, allow_different=False)
    (found,) = [f for f in report.comparison.judgements if f.metric is TIMED[0] and f.name.case == " ".join(TWIN)]
    assert found.new > found.base and found.change > 0.4
    assert found.verdict != BETTER
