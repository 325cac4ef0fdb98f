"""Where a twin goes wrong, with --explain: every module's output compared with eager's, on the worst image."""

from __future__ import annotations

import pytest

from twins.explain.case import explanation_of
from twins.judge.verdict import assert_verdict


@pytest.mark.asked_for("explain")
def test_explain(model, twin, record):
    """Fails like the agreement and names the module. A twin within its tolerance is explained and passes."""
    explanation = explanation_of(model, twin)
    record("explain", **explanation.as_dict())
    assert_verdict(explanation, f"{model.name} {twin.name}")
