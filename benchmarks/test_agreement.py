"""Numbers: every output of the twin equals eager's within the precision's tolerance, on every judged image."""

from __future__ import annotations

from twins.checks import pictures
from twins.checks.repeatability import title
from twins.explain.case import hinted
from twins.judge.agreement import agree_all
from twins.judge.verdict import assert_verdict


def test_agreement(model, twin, session, record, tmp_path):
    """Errors are relative to the reference's scale, over 50 images that the twin was not built with.

    If a detector or segmenter fails, a drawing of the worst image is kept.
    """
    verdict = agree_all(twin.outputs, model.reference, twin.tolerance, model.image_names, twin.run_device)
    verdict = hinted(verdict.noted(twin.notes), model, twin)
    record("agreement", **verdict.as_dict())
    kept = pictures.keep_worst(session.settings.save_detections or tmp_path, model, twin, verdict)
    assert_verdict(verdict, f"{title(model, twin, verdict)}{kept}")
