"""End-to-end: from an image file to a prediction with names and probabilities, as in a camera's loop."""

from __future__ import annotations

import pytest

from twins.checks import end_to_end
from twins.checks.repeatability import title
from twins.checks.timing import measure_end_to_end
from twins.judge.agreement import agree_first
from twins.judge.verdict import assert_verdict


@pytest.mark.with_reference
def test_end_to_end(model, twin, session, record, benchmark):
    """Times each stage. Real time is judged from decoded image to prediction. The outputs must equal eager's."""
    loop, outputs = measure_end_to_end(benchmark, model, twin)
    names = model.image_names[: len(loop.predictions)]
    predictions = [{"photograph": name, "answer": loop.predictions[place]} for place, name in enumerate(names)]
    figures = end_to_end.figures(loop.seconds, session.settings.fps)
    if benchmark.stats is None:  # With --benchmark-disable there is one call, which says nothing about the slow ones.
        figures.update(realtime=None, realtime_fps=None)
    steady = {key: benchmark.extra_info.get(key) for key in ("stable", "unstable_reason")}
    record("end_to_end", **figures, **steady, answers=predictions)
    verdict = agree_first(outputs, model.reference, twin.tolerance, model.image_names, twin.run_device)
    assert_verdict(verdict, f"{title(model, twin, verdict)}, from files")
