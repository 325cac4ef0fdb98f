"""Tests of the header's lines: whose settings pytest took, and lines that fit the terminal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.plugins import header


def config_of(root, here="/home/mine", width=80, **options):
    reporter = SimpleNamespace(isatty=True, _tw=SimpleNamespace(fullwidth=width))
    return SimpleNamespace(
        rootpath=Path(root), invocation_params=SimpleNamespace(dir=Path(here)),
        getoption=lambda name: options.get(name), pluginmanager=SimpleNamespace(get_plugin=lambda name: reporter),
    )  # fmt: skip


@pytest.mark.parametrize("root, here", [("/home/mine", "/home/mine"), ("/home", "/home/mine/tests")])
def test_a_root_of_ones_own_needs_no_line(root, here):
    assert header._other_root(config_of(root, here)) == []
    assert header._other_root(config_of("/elsewhere", rootdir="/elsewhere")) == []
    assert header._other_root(config_of("/elsewhere", inifilename="other.ini")) == []


def test_the_settings_of_another_project_are_named_with_the_remedy():
    (line,) = header._other_root(config_of("/elsewhere/pictures"))
    assert "/elsewhere/pictures" in line and "--images=DIR" in line


@pytest.mark.parametrize("width", [80, 100, 120])
def test_long_lines_are_wrapped_at_the_width(width):
    line = "machine: " + ", ".join(f"library-{number} 1.2.3+cu130" for number in range(20))
    lines = header._wrapped(config_of("/", width=width), line)
    assert max(map(len, lines)) <= width and " ".join(part.strip() for part in lines) == line
