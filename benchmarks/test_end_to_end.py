"""End to end: from a photograph's file to an answer with names and probabilities, as a camera's loop would have it."""

from __future__ import annotations

import pytest

from fixtures import end_to_end
from fixtures.agreement import agree_all, assert_verdict
from fixtures.timing import measure_end_to_end


@pytest.mark.with_reference
def test_end_to_end(model, twin, session, record, benchmark):
    """Each stage is timed, real time is judged from decoded photograph to answer; the numbers must be eager's."""
    loop, outputs = measure_end_to_end(benchmark, model, twin)
    names = model.photographs[: len(loop.answers)]
    answers = [{"photograph": name, "answer": loop.answers[place]} for place, name in enumerate(names)]
    record("end_to_end", **end_to_end.figures(loop.seconds, session.settings.fps), answers=answers)
    expected = {name: array[: len(names)] for name, array in model.reference.items()}
    assert_verdict(agree_all(outputs, expected, twin.tolerance, names), f"{model.name} {twin.name} from files")
