"""Sizes: a twin of variable height and width agrees at every size, even in the first call after a switch."""

from __future__ import annotations

import pytest

from twins.checks.field import sizes as check
from twins.checks.repeatability import title
from twins.judge.verdict import assert_verdict


@pytest.mark.open_sizes
def test_sizes(model, twin, record):
    """The cost of the first call after a switch is recorded. Only for models with `sizes`."""
    reason = check.not_offered(twin)
    if reason:
        pytest.skip(reason)
    found = check.of_twin(model, twin)
    record("sizes", **found.as_dict())
    assert_verdict(found.agree, title(model, twin, found.agree))
