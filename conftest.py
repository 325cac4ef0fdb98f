"""Registers the suite's plugins; everything else lives in fixtures/."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fixtures")

pytest_plugins = [
    "fixtures.options",
    "fixtures.machine",
    "fixtures.header",
    "fixtures.twins",
    "fixtures.case_faults",
    "fixtures.run_json",
    "fixtures.golden",
    "fixtures.baseline",
    "fixtures.summary",
]
