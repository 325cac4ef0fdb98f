"""Fixtures that put a double in the place of the real package: in every version, or in the newest alone."""

from __future__ import annotations

import pytest

from tests.doubles import on_host
from tests.doubles.tensorrt_double import VERSIONS


@pytest.fixture(params=VERSIONS)
def trt(request, monkeypatch):
    """The double, once for each version."""
    return on_host.tensorrt(monkeypatch, request.param)


@pytest.fixture
def newest(monkeypatch):
    """The double of the newest version, where the version makes no difference."""
    return on_host.tensorrt(monkeypatch, VERSIONS[-1])


@pytest.fixture
def newest_torch2trt(monkeypatch):
    """torch2trt's with the newest TensorRT that it works with, for tests where the version does not matter."""
    return on_host.torch2trt(monkeypatch, VERSIONS[-2])
