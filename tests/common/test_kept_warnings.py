"""Tests of the warnings that are collected instead of printed."""

from __future__ import annotations

import warnings

import pytest

from fixtures.common.kept_warnings import kept_warnings


def test_each_warning_is_one_line_with_its_location_without_duplicates():
    with kept_warnings() as lines:
        for _ in range(3):
            warnings.warn("a\n  constant\x1b[2J", FutureWarning, stacklevel=1)
        warnings.warn("another", DeprecationWarning, stacklevel=1)
    first, second = lines
    assert first.startswith("FutureWarning: a constant\\x1b[2J (at test_kept_warnings.py:")
    assert second.startswith("DeprecationWarning: another")


def test_nothing_is_issued_if_the_block_succeeds(recwarn):
    with kept_warnings():
        warnings.warn("a constant", FutureWarning, stacklevel=1)
    assert not recwarn.list


def test_an_error_issues_the_warnings_again():
    with kept_warnings() as outer:
        with pytest.raises(ValueError, match="bad"), kept_warnings() as inner:
            warnings.warn("a constant", FutureWarning, stacklevel=1)
            raise ValueError("bad")
        assert len(inner) == 1
    assert outer == inner
