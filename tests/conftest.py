"""Shared by the tests of fixtures/: pytester, and the suite's folder on the path of the runs that it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
