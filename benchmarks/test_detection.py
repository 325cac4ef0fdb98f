"""Boxes: the twin finds what eager finds on each image, matched one to one by class and IoU."""

from __future__ import annotations

import pytest

from twins.answers.boxes import best_boxes
from twins.checks import pictures
from twins.checks.repeatability import title
from twins.judge.detection import judge, stand_in_fault
from twins.judge.verdict import assert_verdict
from twins.models.zoo import categories
from twins.tolerances.boxes import TABLE, recorded_only


@pytest.mark.task("detection")
def test_detection(model, twin, session, record, tmp_path):
    """From raw outputs to boxes by torchvision's own code. A failure keeps a drawing of the worst image."""
    detector, images = model.detector, model.judged.readable
    ours, eagers = (detector.boxes_of(outputs, images) for outputs in (twin.outputs, model.reference))
    fault = stand_in_fault(eagers) if model.weights_kind == "calibrated" and model.sees_bundled else ""
    assert not fault, f"{model.name}: {fault}"
    verdict = judge(ours, eagers, TABLE[twin.precision], detector.limits, model.image_names)
    place, names = model.image_names.index(verdict.worst), categories(model.spec)
    said = {"reference": best_boxes(eagers[place], names), "twin": best_boxes(ours[place], names)}
    record("detection", **verdict.as_dict(), worst_predictions=said)
    kept = pictures.keep(
        session.settings.save_detections, tmp_path, model, twin, verdict, pictures.drawing(model, twin)
    )
    if recorded_only(twin.precision, model.weights_kind):
        pytest.skip(f"recorded, not judged: {twin.precision} on {model.weights_kind} weights has too large errors")
    assert_verdict(verdict, f"{title(model, twin, verdict)}{kept}")
