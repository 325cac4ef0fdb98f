"""Tests of text.py: any error message becomes one printable line."""

from __future__ import annotations

import ast

import pytest

from fixtures.common.text import nearest, one_line, with_type


@pytest.mark.parametrize(
    "error, line",
    [
        (RuntimeError("no kernel\n  for\tthis\n"), "no kernel for this"),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (MemoryError(), "MemoryError"),
        (KeyError("a"), "'a'"),
        (ValueError("red \x1b[31m"), "red \\x1b[31m"),
        (ValueError("x" * 500), "x" * 400 + " …"),
    ],
)
def test_one_line(error, line):
    assert one_line(error) == line


def test_advice_for_developers_is_left_out():
    assert one_line(RuntimeError("CUDA error: no\nCompile with …"), until="\n") == "CUDA error: no"
    assert one_line(RuntimeError("\n\nfirst\nsecond\n\nadvice"), until="\n\n") == "first second"
    assert one_line(RuntimeError(""), until="\n") == "RuntimeError"


def test_the_type_is_given_once():
    assert with_type(ValueError("a\nb")) == "ValueError: a b"
    assert with_type(MemoryError()) == "MemoryError"
    assert with_type(ValueError("abcdef"), longest=3) == "ValueError: abc …"


def test_no_file_shortens_an_error_by_itself(root):
    found = []
    for path in (root / "fixtures").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            shortens = isinstance(node, (ast.Call, ast.Subscript))
            text = ast.get_source_segment(source, node) or "" if shortens else ""
            if "str(error)" in text and text.endswith((".split())", ".splitlines()[0]")):
                found.append(f"{path.relative_to(root)}:{node.lineno} {text}")
    assert found == []


@pytest.mark.parametrize(
    "name, expected",
    [
        ("resnet81", "did you mean resnet18 or ResNet50?"),
        ("RESNET18", "did you mean resnet18 or ResNet50?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_names_ignoring_case(name, expected):
    assert nearest(name, ["resnet18", "ResNet50", "alexnet"], most=2) == expected
