"""python -m twins.compare --outputs: the golden outputs of two runs, number by number."""

from __future__ import annotations

import numpy
import pytest

from fixtures.plugins.saved_outputs import save
from tests.helpers import compare_data as data
from tests.helpers.compared import Compared


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


@pytest.fixture
def outputs(tmp_path):
    """Writes golden outputs and returns the path."""

    def write(name, image_names=("a.jpg", "b.jpg"), **arrays):
        path = tmp_path / name
        save(path, {key.replace("__", "/"): numpy.array(value, float) for key, value in arrays.items()}, image_names)
        return str(path)

    return write


EAGER, TWINS = {"resnet18__eager_fp32__output": [[1, 2], [3, 1]]}, {"resnet18__tensorrt_fp16__output": [[1, 2], [3, 1]]}


def test_golden_outputs_show_a_drift_of_reference_and_twin_together(compared, outputs):
    base = outputs("base.npz", **EAGER, **TWINS)
    same = outputs("same.npz", **EAGER, **TWINS)
    both = outputs("both.npz", **{key: [[2, 1], [3, 1]] for key in (*EAGER, *TWINS)})
    runs = data.document(), data.document(seed=1)
    assert compared(*runs, options=("--outputs", base, same)) == 0
    assert compared.verdict("output_drift") == "SAME"
    assert compared(*runs, options=("--outputs", base, both)) == 1
    assert compared.verdict("output_drift") == compared.verdict("output_drift", ("resnet18", "eager_fp32")) == "WORSE"
    assert "top-1 changed on 1 of 2 images" in compared.out


def test_golden_outputs_that_vanished_or_are_no_numbers_count(compared, outputs):
    base = outputs("base.npz", **EAGER, **TWINS)
    runs = data.document(), data.document(seed=1)
    assert compared(*runs, options=("--outputs", base, outputs("less.npz", **EAGER))) == 1
    assert "saved outputs" in compared.out
    nan = {"resnet18__eager_fp32__output": [[numpy.nan, 1], [3, 1]]}
    assert compared(*runs, options=("--outputs", base, outputs("nan.npz", **{**TWINS, **nan}))) == 1
    assert "not finite" in compared.out
    shape = {"resnet18__eager_fp32__output": [[1, 2, 3], [3, 1, 2]]}
    assert compared(*runs, options=("--outputs", base, outputs("shape.npz", **{**TWINS, **shape}))) == 1
    (row,) = [line for line in compared.out.splitlines() if "shape (2, 3), was (2, 2)" in line]
    assert "not a number" not in row
    unknown = outputs("unknown.npz", resnet18__own_fp8__output=[[1, 2]])
    assert compared(*runs, options=("--outputs", unknown, unknown)) == 0
    assert "not a number" not in compared.out


def test_golden_outputs_that_hold_none_are_refused(compared, outputs):
    """A run without outputs, or a file of something else, must not pass as one without drift."""
    full, empty = outputs("full.npz", **EAGER), outputs("empty.npz")
    numpy.savez(full.replace("full", "other"), a=numpy.zeros(3))
    runs = data.document(), data.document(seed=1)
    for pair in ((empty, empty), (empty, full), (full, empty), (full, full.replace("full", "other"))):
        assert compared(*runs, options=("--outputs", *pair)) == 2
        assert compared.err.count("\n") == 1
        assert "contains no outputs" in compared.err


def test_golden_outputs_of_other_images_or_damaged_are_one_line(compared, outputs, tmp_path):
    base = outputs("base.npz", **EAGER)
    other = outputs("other.npz", image_names=("a.jpg", "c.jpg"), **EAGER)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 cut off")
    runs = data.document(), data.document(seed=1)
    for path in (other, str(tmp_path / "bad.npz"), str(tmp_path / "absent.npz")):
        assert compared(*runs, options=("--outputs", base, path)) == 2
        assert compared.err.count("\n") == 1
    assert compared(data.document(), options=("--outputs", base, base)) == 2
    assert "name their JSON files as well" in compared.err
