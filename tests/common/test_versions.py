"""Tests of version parsing: TensorRT's versions, those of NVIDIA's Jetson builds, and text that is not a version."""

from __future__ import annotations

import pytest

from fixtures.common.versions import release


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("10.13.3.9.post1", (10, 13, 3, 9)),
        ("2.6.0a0+ecf3bae40a.nv25.01", (2, 6, 0)),
        ("2.3.0rc1", (2, 3, 0)),
        ("2.0.0.nv23.05", (2, 0, 0)),
        ("8.4", (8, 4)),
        ("9.0", (9, 0)),
        ("unknown", ()),
        ("", ()),
    ],
)
def test_the_numbers_of_a_version(text, numbers):
    assert release(text) == numbers


def test_versions_compare_as_numbers_and_nvidias_pre_releases_are_not_older():
    assert release("10.2") > release("9.13.1") and release("10.13.3.9") > (10, 12)
    assert release("2.6.0a0+x.nv25.1") >= (2, 6)
    assert release("not a version") < (0,)
