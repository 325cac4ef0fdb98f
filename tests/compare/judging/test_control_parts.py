"""The parts of a control by hand: which control is used, the twin's change without its share, and the doubt."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.compare.judging import control
from fixtures.compare.judging.control import Beside, adjusted, control_of
from fixtures.compare.judging.shift import decode_s, eager_s, shift, twin_to_decode, twin_to_eager
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.run import Blocks, Timing
from tests.helpers import compare_data as data


def timing(twin, eager=None, decode=None):
    """One invocation of ten equal blocks of each."""
    sides = [() if seconds is None else (seconds,) * 10 for seconds in (twin, eager, decode)]
    return Timing(twin, twin, (Blocks(sides[0], sides[1], sides[2]),))


def run(**facts):
    return run_of(data.document(models=["resnet18"], **facts), "run")


def test_beside_is_the_twin_over_a_power_of_its_control():
    blocks = Blocks((4.0, 9.0), (2.0, 3.0))
    assert numpy.exp(Beside(eager_s, 1.0)(blocks)) == pytest.approx([2.0, 3.0])
    assert numpy.exp(Beside(eager_s, 0.5)(blocks)) == pytest.approx([4 / math.sqrt(2), 9 / math.sqrt(3)])
    assert numpy.exp(Beside(eager_s, 0.0)(blocks)) == pytest.approx([4.0, 9.0])
    assert len(Beside(decode_s, 0.5)(blocks)) == 0, "no control, no figure"


def test_eager_comes_before_decoding_and_neither_is_none():
    before, after = timing(1.0, 2.0, 0.5), timing(1.0, 3.0, 1.0)
    found = control_of(run(), run(), before, after)
    assert (found.name, found.valid) == ("eager", True)
    assert found.side is eager_s and found.ratio is twin_to_eager
    assert found.moved.log == pytest.approx(math.log(1.5))
    found = control_of(run(pillow="1"), run(pillow="1"), timing(1.0, None, 0.5), timing(1.0, None, 1.0))
    assert (found.name, found.valid) == ("decoding", True)
    assert found.side is decode_s and found.ratio is twin_to_decode
    assert found.moved.log == pytest.approx(math.log(2))
    assert control_of(run(), run(), timing(1.0), timing(1.0)) is None


def test_another_library_makes_it_no_control():
    before, after = timing(1.0, 2.0), timing(1.0, 3.0)
    assert not control_of(run(), run(torch="1.0"), before, after).valid
    found = control_of(run(pillow="1"), run(pillow="2"), timing(1.0, None, 0.5), timing(1.0, None, 1.0))
    assert not found.valid and found.otherwise == "Pillow 1 → 2 changed"


def test_a_growth_is_adjusted_only_by_a_control_that_changed_and_not_too_much():
    still, moved, absurd = [(timing(1.0, 2.0), timing(1.1, eager)) for eager in (2.05, 2.4, 4.0)]
    assert adjusted(control_of(run(), run(), *still), *still) is None
    found = adjusted(control_of(run(), run(), *moved), *moved)
    assert found.log == pytest.approx(math.log(1.1 / 1.2))
    plain = shift(*moved, Beside(eager_s, 1.0))
    assert found.error == pytest.approx(math.hypot(plain.error, control.NOT_CANCELLED * math.log(1.2)))
    assert adjusted(control_of(run(), run(torch="1.0"), *moved), *moved) is None
    assert adjusted(control_of(run(), run(), *absurd), *absurd) is None


def test_a_note_says_how_the_control_changed_and_what_follows():
    notes = [
        control.note(control_of(run(), after, timing(1.0, 2.0), timing(1.1, eager)))
        for eager, after in ((2.05, run()), (2.4, run()), (4.0, run()), (2.4, run(torch="1.0")))
    ]
    assert notes == [
        "",
        "eager changed by +20.0%, which is due to the machine: judged by the adjusted change",
        "eager changed by +100.0%: the machine changed too much to judge this row; run again",
        "eager changed by +20.0%; torch 2.5.0 → 1.0 changed, so it is not a control: judged unadjusted",
    ]
