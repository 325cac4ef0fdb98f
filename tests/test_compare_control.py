"""End to end no eager runs beside the twin: decoding, with which each call begins, tells the machine's doing."""

from __future__ import annotations

import pytest

from fixtures.compare.document import run_of
from fixtures.compare.judge import Pair, judge
from fixtures.compare.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.metrics import LATENCY
from fixtures.compare.run import Name
from fixtures.compare.verdict import BETTER, SAME, UNSURE, WORSE
from fixtures.errors import UserError
from tests import compare_data as data

NAME = Name("resnet18", "tensorrt_fp16", 1, "test_end_to_end")
PILLOW = {"pillow": "11.0.0"}


def judged(twin, decode, after=PILLOW, stable=True):
    """The judgement where from file to answer took `twin` times as long, and decoding `decode` times."""
    base = data.end_to_end(data.document(models=["resnet18"], **PILLOW))
    new = data.end_to_end(data.document(models=["resnet18"], seed=1, **after), twin, decode)
    for bench in new["benchmarks"]:
        bench["extra_info"].update(stable=stable, unstable_reason=None if stable else "drifted")
    runs = (run_of(document, label) for document, label in ((base, "base"), (new, "new")))
    return judge(Pair(*runs, parse_gate(DEFAULT_FAIL_ON), False), LATENCY, NAME)


def test_a_machine_that_slowed_down_makes_no_twin_worse():
    found = judged(1.35, 1.4)
    assert found.verdict in (SAME, UNSURE)
    assert "decoding moved by +" in found.note and "the machine's doing: judged beside it" in found.note


def test_a_twin_that_slowed_down_alone_is_worse():
    assert (judged(1.2, 1.0).verdict, judged(1.2, 1.0).note) == (WORSE, "")
    assert judged(0.8, 1.0).verdict == BETTER
    assert judged(1.0, 1.0).verdict == SAME


def test_a_machine_that_became_faster_hides_no_slow_twin():
    found = judged(1.3, 0.9)
    assert found.verdict == WORSE and "decoding moved by" in found.note


def test_no_unrest_excuses_what_is_beyond_the_bound_beside_decoding_too():
    found = judged(3.2, 1.3, stable=False)
    assert found.verdict == WORSE and "by more than × 1.5 also against decoding" in found.note
    assert judged(1.8, 1.6, stable=False).verdict == UNSURE


@pytest.mark.parametrize("after", [{"pillow": "12.0.0"}, {}])
def test_another_or_unknown_pillow_makes_decoding_no_control(after):
    found = judged(1.35, 1.4, after=after)
    assert found.verdict == WORSE and found.note.endswith("; Pillow differs, so that it is no control")


def test_runs_without_blocks_of_decoding_are_judged_by_the_clock():
    base, new = (data.end_to_end(data.document(models=["resnet18"], seed=seed, **PILLOW), factor)
                 for seed, factor in ((0, 1.0), (1, 1.35)))  # fmt: skip
    for bench in base["benchmarks"]:
        del bench["extra_info"]["blocks_s"]["decode"]
    pair = Pair(run_of(base, "base"), run_of(new, "new"), parse_gate(DEFAULT_FAIL_ON), False)
    found = judge(pair, LATENCY, NAME)
    assert (found.verdict, found.note) == (WORSE, "")


def test_as_many_blocks_of_decoding_as_of_the_twin():
    run = data.end_to_end(data.document(models=["resnet18"]))
    run["benchmarks"][1]["extra_info"]["blocks_s"]["decode"].pop()
    with pytest.raises(UserError, match=r"benchmarks\[1\].*as many blocks of its control as of the twin"):
        run_of(run, "run")
