"""Masks: the twin gives each pixel eager's class, except for a few at borders."""

from __future__ import annotations

import pytest

from twins.answers.masks import largest_classes, maps_of, masks_of
from twins.checks import pictures
from twins.checks.repeatability import title
from twins.judge.segmentation import judge_masks
from twins.judge.verdict import assert_verdict
from twins.models.zoo import categories
from twins.tolerances.boxes import recorded_only
from twins.tolerances.masks import TABLE


@pytest.mark.task("segmentation")
def test_segmentation(model, twin, session, record, tmp_path):
    """Pixels that change class, and the masks' mean IoU. A failure keeps a drawing of the worst image."""
    ours, eagers = masks_of(maps_of(twin.outputs)), masks_of(maps_of(model.reference))
    verdict = judge_masks(ours, eagers, TABLE[twin.precision], model.image_names)
    place, names = model.image_names.index(verdict.worst), categories(model.spec)
    said = {"reference": largest_classes(eagers[place], names), "twin": largest_classes(ours[place], names)}
    record("segmentation", **verdict.as_dict(), worst_predictions=said)
    kept = pictures.keep(
        session.settings.save_detections, tmp_path, model, twin, verdict, pictures.drawing(model, twin)
    )
    if recorded_only(twin.precision, model.weights_kind):
        pytest.skip(f"recorded, not judged: {twin.precision} on {model.weights_kind} weights has too large errors")
    assert_verdict(verdict, f"{title(model, twin, verdict)}{kept}")
