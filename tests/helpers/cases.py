"""What pytest knows about the fixtures of one of the suite's cases, for tests that imitate one."""

from __future__ import annotations

from types import SimpleNamespace

from fixtures.plugins import cases

# `_fixtureinfo` of a pytest.Item that uses the suite's `session`.
OF_SUITE = SimpleNamespace(name2fixturedefs={"session": [SimpleNamespace(func=cases.pytest_configure)]})
# For runs that load only some of the suite's plugins: a fixture `session` that counts as the suite's.
SESSION = """
    import pytest

    def session(): pass

    session.__module__ = "twins.plugins.cases"
    session = pytest.fixture(scope="session")(session)
"""
