"""Labels: the twin is right as often as eager, within one percentage point; accuracy itself is not judged."""

from __future__ import annotations

import pytest

from twins.checks.repeatability import title
from twins.judge.accuracy import accuracy, accuracy_drop
from twins.judge.verdict import assert_verdict


@pytest.mark.task("classification")
def test_accuracy(model, twin, session):
    """Top-1 and top-5 on the labelled images."""
    if (model.labels < 0).all():
        pytest.skip(
            "the suite's images are labelled with ImageNet's classes, and the model has other class_names or none"
            if model.has_other_classes
            else "the images have no labels"
        )
    logits, reference = (outputs[model.judged_output] for outputs in (twin.outputs, model.reference))
    ours, eagers = accuracy(logits, model.labels), accuracy(reference, model.labels)
    for name, figures in ((twin.name, ours), (model.reference_twin, eagers)):
        session.record.add("accuracy", model.name, name, **figures.as_dict())
    verdict = accuracy_drop(ours, eagers)
    assert_verdict(verdict, title(model, twin, verdict))
