"""Decisions: the twin's top-1 is eager's on every judged image; the overlap of the top-5 is recorded."""

from __future__ import annotations

import pytest

from twins.answers.classes import predictions
from twins.checks.repeatability import title
from twins.judge.decisions import top1, top5_overlap
from twins.judge.verdict import assert_verdict
from twins.models.zoo import categories


@pytest.mark.task("classification")
def test_top1(model, twin, session, record):
    """A flip is excused only if eager hardly prefers its class to the twin's; see `twins.judge.decisions`."""
    logits, reference = (outputs[model.judged_output] for outputs in (twin.outputs, model.reference))
    names = categories(model.spec)
    verdict = top1(logits, reference, twin.tolerance, model.image_names, names)
    record("agreement", **verdict.as_dict(), top5_overlap=top5_overlap(logits, reference).mean)
    for name, outputs in ((model.reference_twin, reference), (twin.name, logits)):
        session.record.add("predictions", model.name, name, photographs=predictions(outputs, names, model.image_names))
    assert_verdict(verdict, title(model, twin, verdict))
