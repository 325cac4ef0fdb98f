"""Registers the suite's plugins; everything else lives in fixtures/, which is imported as `twins`."""

from __future__ import annotations

import sys

import pytest

if "twins" not in sys.modules:  # An editable install that is used from elsewhere has loaded it.
    pytest.register_assert_rewrite("twins")

from twins import old_name  # noqa: E402

old_name.install()
pytest_plugins = ["twins.plugins"]
