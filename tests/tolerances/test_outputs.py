"""The table of tolerances: its order, its overrides, and what it refuses."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy
import pytest

from fixtures.common.errors import UserError
from fixtures.judge.agreement import agree
from fixtures.judge.decisions import top1
from fixtures.models.zoo import MODELS, ModelSpec
from fixtures.run.model import RunningModel
from fixtures.run.record import Record
from fixtures.run.twin import RunningTwin
from fixtures.summary.rows import precision_lines
from fixtures.tolerances.outputs import TABLE, Tolerance, precision_note, tolerance

PRECISIONS = ("fp32", "tf32", "fp16", "int8")
KINDS = ("trained", "calibrated")


def test_every_precision_has_limits_for_both_kinds_of_weights():
    assert set(TABLE) == {(precision, kind) for precision in PRECISIONS for kind in KINDS}
    for (precision, kind), entry in TABLE.items():
        assert tolerance(precision, kind) is entry
        assert entry.precision == precision
        assert entry.source


@pytest.mark.parametrize(
    ("precision", "kind", "relative_error", "cosine"),
    [
        ("fp32", "trained", 2e-5, 0.999999),
        ("fp32", "calibrated", 3.4e-5, 0.999999),
        ("tf32", "trained", 3.6e-3, 0.9995),
        ("tf32", "calibrated", 3.5e-2, 0.998),
        ("fp16", "trained", 7e-3, 0.999),
        ("fp16", "calibrated", 4e-2, 0.998),
        ("int8", "trained", 0.2, 0.95),
        ("int8", "calibrated", 0.5, 0.85),
    ],
)
def test_a_change_of_a_limit_is_made_on_purpose(precision, kind, relative_error, cosine):
    found = tolerance(precision, kind)
    assert (found.relative_error, found.cosine) == (relative_error, cosine)


# Worst errors of real engines: TensorRT for RTX 1.6.1 on an H200, three seeds of calibrated weights or trained ones.
WORST_SEEN = {
    ("tf32", "trained"): 9.2e-4,
    ("fp16", "trained"): 3.3e-3,
    ("tf32", "calibrated"): 9.5e-3,
    ("fp16", "calibrated"): 1.8e-2,
    ("fp16", "ssd300_vgg16"): 4.3e-2,
    ("tf32", "ssdlite320_mobilenet_v3_large"): 4.1e-2,
    ("fp16", "ssdlite320_mobilenet_v3_large"): 4.7e-2,
}


@pytest.mark.parametrize("precision, kind", WORST_SEEN)
def test_limits_are_1_5_to_4_times_the_worst_error_of_a_real_engine(precision, kind):
    own = MODELS[kind].calibrated_tolerances if kind in MODELS else {}
    limit = tolerance(precision, "calibrated" if own else kind, own).relative_error
    assert 1.5 <= limit / WORST_SEEN[precision, kind] <= 4


@pytest.mark.parametrize("kind, of_int8", [("trained", 8), ("calibrated", 1)])
def test_fp32_excuses_no_flip_the_others_one_in_fifty_and_int8_what_trained_networks_need(kind, of_int8):
    excused = {precision: tolerance(precision, kind).flips_excused for precision in PRECISIONS}
    assert excused == {"fp32": 0, "tf32": 1, "fp16": 1, "int8": of_int8}


def flipped(count, margin):
    """Logits of 50 images with a scale of 1, and a twin that prefers the second best in this many of them."""
    reference = numpy.zeros((50, 3), numpy.float32)
    reference[numpy.arange(50), numpy.arange(50) % 2] = 1
    reference[:count, 2] = 1 - margin
    twin = reference.copy()
    twin[:count, 2] = reference.max(axis=1)[:count] + 0.01
    return top1(twin, reference, tolerance("int8", "packaged"), [str(number) for number in range(50)])


@pytest.mark.parametrize("count, margin, passes", [(6, 0.102, True), (8, 0.2, True), (9, 0.1, False), (1, 0.21, False)])
def test_int8_on_trained_weights_may_flip_what_correct_twins_flipped(count, margin, passes):
    assert bool(flipped(count, numpy.float32(margin - 1e-6))) is passes


@pytest.mark.parametrize("kind", KINDS)
def test_fp32_refuses_what_tf32_and_fp16_cost(kind):
    """The least error measured of TF32 and fp16 was 5e-4: either, sold as fp32, must stand out."""
    assert tolerance("fp32", kind).relative_error <= 5e-4 / 10


def test_any_other_kind_of_weights_is_judged_as_trained():
    for precision in PRECISIONS:
        assert tolerance(precision, "pretrained") is TABLE[precision, "trained"]
        assert tolerance(precision, "/some/folder") is TABLE[precision, "trained"]


def test_the_excusable_margin_is_twice_the_error_and_once_that_of_int8_on_trained_weights():
    assert tolerance("fp16", "trained").excusable_margin == 2 * 7e-3
    assert tolerance("fp16", "trained", {"fp16": 0.25}).excusable_margin == 0.5
    assert tolerance("int8", "trained").excusable_margin == 0.2, "the widest of a sound twin was 0.102"


def test_an_override_changes_the_error_of_its_precision_alone_and_says_what_it_replaces():
    overrides = {"fp16": 0.03}
    found, table = tolerance("fp16", "trained", overrides), tolerance("fp16", "trained")
    assert found.relative_error == 0.03
    assert "this model's own" in found.source
    assert "0.007" in found.source
    assert table.source in found.source
    assert found == Tolerance("fp16", 0.03, table.cosine, table.flips_excused, found.source)
    assert tolerance("fp32", "trained", overrides) is TABLE["fp32", "trained"]


def limit_of(spec, weights_kind, precision="fp32"):
    """What the suite asks of a twin of this model, on weights of this kind."""
    model, twin = RunningModel.__new__(RunningModel), RunningTwin.__new__(RunningTwin)
    model.spec, model.session = spec, SimpleNamespace(weights=SimpleNamespace(kind=weights_kind))
    twin.model, twin.precision = model, precision
    return twin.tolerance


@pytest.mark.parametrize("kind", ["calibrated", "pretrained", "folder"])
@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if not spec.builder])
def test_what_the_zoo_allows_a_model_was_measured_on_calibrated_weights_and_holds_for_them_alone(name, kind):
    for precision in PRECISIONS:
        own = MODELS[name].calibrated_tolerances.get(precision) if kind == "calibrated" else None
        table = tolerance(precision, kind)
        assert limit_of(MODELS[name], kind, precision).relative_error == (own or table.relative_error)


def test_what_a_user_allows_a_model_holds_for_all_weights():
    published = ModelSpec("mine", "ResNet18_Weights.IMAGENET1K_V1", tolerances={"fp32": 0.5})
    brought = ModelSpec("mine", builder=list, preprocess=list, tolerances={"fp32": 0.5})
    assert {limit_of(published, kind).relative_error for kind in ("calibrated", "pretrained", "folder")} == {0.5}
    assert limit_of(brought, "calibrated").relative_error == 0.5
    wider = ModelSpec("mine", builder=list, preprocess=list, calibrated_tolerances={"fp32": 0.5})
    assert limit_of(wider, "calibrated") is TABLE["fp32", "trained"], "its weights are its own, whatever the run's"


@pytest.mark.parametrize("limit", [0, -1e-3, math.nan, math.inf])
def test_an_override_must_be_a_positive_number(limit):
    with pytest.raises(UserError, match="the tolerance of fp32 is .*; give a positive number"):
        tolerance("fp16", "trained", {"fp32": limit})


def test_unknown_precisions_are_named_with_those_known():
    with pytest.raises(UserError, match="no tolerance for precision 'fp8'; known are fp32, tf32, fp16, int8"):
        tolerance("fp8", "trained")
    with pytest.raises(UserError, match="'half'"):
        tolerance("fp16", "trained", {"half": 0.1})


def test_the_table_cannot_be_changed_in_passing():
    with pytest.raises(TypeError):
        TABLE["fp32", "trained"] = TABLE["int8", "trained"]
    with pytest.raises(AttributeError):
        tolerance("fp32", "trained").relative_error = 1.0


@pytest.mark.parametrize(
    "precision, error, noted",
    [
        ("fp16", 8e-8, True), ("tf32", 8e-8, True), ("int8", 1e-5, True), ("fp32", 8e-8, False),
        ("fp16", 5e-4, False), ("int8", 1.5e-2, False), ("fp16", None, False),
        ("fp16", math.inf, False), ("fp16", math.nan, False),
    ],
)  # fmt: skip
def test_a_precision_that_was_asked_for_and_not_used_is_noted(precision, error, noted):
    note = precision_note(precision, error)
    assert note.startswith(f"{precision} was requested, but an error of ") if noted else note == ""


def test_the_note_stands_in_the_row_and_below_the_table():
    reference = numpy.ones((1, 4), "float32")
    verdict = agree(reference * (1 + 1e-7), reference, tolerance("fp16", "trained"), ["a"])
    record = Record()
    record.add("agreement", "small", "tensorrt_fp16", **verdict.as_dict())
    record.add("agreement", "small", "tensorrt_fp32", precision_note="")
    (line,) = precision_lines(record)
    assert line.startswith(" small tensorrt_fp16: fp16 was requested")
