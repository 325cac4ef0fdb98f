"""Start-up: the engine from the cache, loaded by a fresh process, gives the same first output as here."""

from __future__ import annotations

import pytest

from twins.checks.repeatability import title
from twins.common.outputs import to_numpy
from twins.judge.agreement import agree_again
from twins.judge.verdict import assert_verdict


@pytest.mark.with_reference
def test_startup(model, twin, record):
    """Times of loading, building and the first calls are recorded from the worker; its output is judged."""
    twin.open(1)
    figures = dict(twin.figures)
    first = figures.pop("output")
    record("startup", **figures)
    here = to_numpy(twin.run(model.example(1)))
    verdict = agree_again(first, here, twin.tolerance, model.image_names[:1], twin.run_device)
    assert_verdict(verdict, f"{title(model, twin, verdict)}, first output of a fresh process")
