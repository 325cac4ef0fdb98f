"""Registers the suite's plugins; everything else lives in fixtures/."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fixtures")

pytest_plugins = [
    "fixtures.plugins.options",
    "fixtures.plugins.one_process",
    "fixtures.plugins.machine_info",
    "fixtures.plugins.header",
    "fixtures.plugins.cases",
    "fixtures.plugins.faults",
    "fixtures.plugins.run_json",
    "fixtures.plugins.saved_outputs",
    "fixtures.plugins.baseline",
    "fixtures.plugins.summary",
]
