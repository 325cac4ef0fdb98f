"""The parts of a control by hand: which one there is, what is left of the twin beside it, and in how much doubt."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.compare.judging import control
from fixtures.compare.judging.control import Beside, Control, against, control_of, growth
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
    assert (found.name, found.holds, found.otherwise) == ("eager", True, "torch, CUDA or cuDNN differ")
    assert found.side is eager_s and found.ratio is twin_to_eager
    assert found.moved.log == pytest.approx(math.log(1.5))
    found = control_of(run(pillow="1"), run(pillow="1"), timing(1.0, None, 0.5), timing(1.0, None, 1.0))
    assert (found.name, found.holds, found.otherwise) == ("decoding", True, "Pillow differs")
    assert found.side is decode_s and found.ratio is twin_to_decode
    assert found.moved.log == pytest.approx(math.log(2))
    assert control_of(run(), run(), timing(1.0), timing(1.0)) is None


def test_another_library_makes_it_no_control():
    before, after = timing(1.0, 2.0), timing(1.0, 3.0)
    assert not control_of(run(), run(torch="1.0"), before, after).holds
    found = control_of(run(pillow="1"), run(pillow="2"), timing(1.0, None, 0.5), timing(1.0, None, 1.0))
    assert not found.holds


@pytest.mark.parametrize("factor, share", [(1.2, control.NOT_CANCELLED), (2.0, control.NOTHING_CANCELLED)])
def test_a_ratio_is_in_doubt_by_what_the_pairs_do_not_cancel(factor, share):
    before, after = timing(1.0, 2.0), timing(1.0, 2.0 * factor)
    found, plain = against(control_of(run(), run(), before, after), before, after), shift(before, after, twin_to_eager)
    assert found.log == plain.log == pytest.approx(-math.log(factor))
    assert found.error == pytest.approx(math.hypot(plain.error, share * math.log(factor)))
    alone = Control("eager", True, "", eager_s, twin_to_decode, shift(before, after, eager_s))
    assert against(alone, before, after) is None


def test_growth_is_by_its_own_clock_beside_it_or_over_it():
    still, moved = (timing(1.0, 2.0), timing(1.1, 2.05)), (timing(1.0, 2.0), timing(1.1, 2.4))
    found, note = growth(control_of(run(), run(), *still), *still)
    assert note == "" and found.log == pytest.approx(math.log(1.1))
    assert growth(None, *moved)[0].log == pytest.approx(math.log(1.1)) and growth(None, *moved)[1] == ""
    found, note = growth(control_of(run(), run(), *moved), *moved)
    assert note == "eager moved by +20.0%, which is the machine's doing: judged beside it"
    assert found.log == pytest.approx(math.log(1.1 / 1.2))
    plain = shift(*moved, Beside(eager_s, 1.0))
    assert found.error == pytest.approx(math.hypot(plain.error, control.NOT_CANCELLED * math.log(1.2)))
    found, note = growth(control_of(run(), run(torch="1.0"), *moved), *moved)
    assert note == "eager moved by +20.0%; torch, CUDA or cuDNN differ, so that it is no control"
    assert found.log == pytest.approx(math.log(1.1))
    absurd = timing(1.0, 2.0), timing(1.1, 4.0)
    found, note = growth(control_of(run(), run(), *absurd), *absurd)
    assert note == "eager moved by +100.0%, which is the machine's doing, and of which little is left"
    assert found.log == pytest.approx(math.log(1.1 / 2)) and found.error > control.NOTHING_CANCELLED * math.log(2)
