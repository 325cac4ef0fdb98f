"""Tests of `pytest --help`: it is printed whole, and every option of the suite is in it."""

from __future__ import annotations

import re

import pytest

from fixtures.plugins import options


def test_help_lists_every_option_with_its_text(pytester, root):
    found = {}
    group = pytest.MonkeyPatch()

    class Parser:
        _groups = ()

        def getgroup(self, name, description):
            return self

        def addoption(self, name, help, dest, **attributes):
            found[name] = help

    options.pytest_addoption(Parser())
    group.setenv("COLUMNS", "120")
    result = pytester.runpytest_subprocess("-c", str(root / "pytest.ini"), "--rootdir", str(root), str(root), "--help")
    group.undo()
    assert result.ret == 0 and "Traceback" not in result.stderr.str()
    printed = " ".join(result.stdout.str().split())
    assert len(found) > 20
    for name, text in found.items():
        words = " ".join((text % {"prog": "pytest"}).split())
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", printed), name
        assert words in printed, f"{name}: {words}"
