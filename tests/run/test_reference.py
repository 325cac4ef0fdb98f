"""Tests of the reference: eager's outputs per image. Effects of batches, calls and in-place changes are reported."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from fixtures.common.errors import ModelFault, UserError
from fixtures.images import folder as image_folder
from fixtures.images.judged import Judged
from fixtures.models.zoo import ModelSpec
from fixtures.run.reference import BatchDependence, _Sample, reference
from fixtures.run.session import Session

GREYS = (10, 200, 60, 70, 80, 50, 40, 90, 75, 65, 55, 45)
TERMINAL = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: None))


@pytest.fixture
def model(tmp_path):
    """The parts of a running model that `reference` needs: a dozen grey images, one of them bright."""
    for place, grey in enumerate(GREYS):
        Image.new("RGB", (4, 4), (grey,) * 3).save(tmp_path / f"{place:02}.png")
    judged = Judged(image_folder.list_images(tmp_path), preprocess)
    return SimpleNamespace(
        name="mine",
        reference_name="eager",
        judged=judged,
        run_device="cpu",
        session=SimpleNamespace(config=TERMINAL),
    )


def preprocess(picture):
    return torch.full((3, 4, 4), picture.getpixel((0, 0))[0] / 255)


def asked(model, eager):
    return reference(eager, model, "eager_fp32", limit=2e-5)


def plain(batch):
    return batch.flatten(1)[:, :2] * torch.tensor([1.0, -2.0])


def singly(model, eager):
    return torch.cat([eager(row) for row in model.judged.batches(1)]).numpy()


@pytest.mark.parametrize(
    "eager",
    [
        lambda batch: plain(batch) * (3 if batch.mean() > 0.5 else 1),
        lambda batch: plain(batch) * (3 if batch.amax() > 0.5 else 1),
        lambda batch: plain(batch) * (3 if batch.std() > 0.1 else 1),
        lambda batch: plain(batch) * len(batch),
        lambda batch: plain(batch) / plain(batch).abs().max() + plain(batch),
        lambda batch: 2 * plain(batch) - plain(batch).mean(0),
        lambda batch: torch.nn.functional.batch_norm(batch, None, None, training=True)[:, :, 0, 0] + batch[:, :, 0, 0],
    ],
    ids=["mean", "largest", "deviation", "size", "range", "centred", "batch norm"],
)
def test_a_batch_that_changes_outputs_is_named_and_the_reference_is_each_image_alone(model, eager):
    found = asked(model, eager)
    assert (found.outputs["output"] == singly(model, eager)).all()
    assert found.batch.images and found.batch.repeats and not found.changes_input
    (note,) = found.notes
    assert note.startswith("outputs of eager depend on the batch: in a batch of 7")
    row = found.as_dict()
    assert row["batch_asked"] == 7 and row["batch_dependent"] == list(found.batch.images) and row["notes"] == [note]
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    "eager, expected",
    [
        (lambda batch: plain(batch) * 0, "mine: the reference is zero everywhere. Use other weights"),
        (lambda batch: plain(batch) * 1e-9 + 1, "mine: the reference hardly depends on the image (by "),
        (
            lambda batch: plain(batch) / (batch.amax() < 0.5),
            "mine: the reference itself is not finite, first on 01.png",
        ),
        (lambda batch: (plain(batch) * 0 + 1, plain(batch) * 0), "mine: output_0: the reference hardly depends on "),
        (
            lambda batch: plain(batch) - plain(batch).mean(0),
            "mine: the reference is zero everywhere. outputs of eager depend on the batch: in a batch of 7",
        ),
    ],
    ids=["zeros", "constant", "infinite", "one of two", "centred over the batch"],
)
def test_outputs_that_no_twin_can_be_judged_by_are_a_fault_of_the_model(model, eager, expected):
    with pytest.raises(ModelFault) as error:
        asked(model, eager)
    assert str(error.value).startswith(expected) and "\n" not in str(error.value)
    assert str(error.value).endswith("Or leave this output out.") is ("output_0" in expected)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_beside_an_output_that_depends_on_the_image_is_noted(model, value):
    found = asked(model, lambda batch: {"map": plain(batch), "anchors": plain(batch) * 0 + value})
    assert found.constant == ("anchors",)
    assert found.notes == ("anchors is the same for every image; only its values are judged",)
    with pytest.raises(ModelFault, match="anchors: the reference itself is not finite"):
        asked(model, lambda batch: {"map": plain(batch), "anchors": plain(batch) * math.nan})


def test_what_summation_explains_is_not_named(model):
    found = asked(model, lambda batch: plain(batch) * (1 + 1e-6 * len(batch)))
    assert found.notes == () and found.batch.images == () and 0 < found.batch.largest_change < 2e-5


def test_a_model_for_one_image_a_call_has_a_reference(model):
    def one(batch):
        (image,) = batch
        return plain(image[None])

    found = asked(model, one)
    assert (found.outputs["output"] == singly(model, plain)).all()
    assert "eager fails on a batch of 7 but not on one image: ValueError: too many values" in found.notes[0]


def test_a_model_that_draws_or_counts_is_refused_once_and_not_blamed_on_the_batch(model):
    calls = []

    def counting(batch):
        calls.append(1)
        return plain(batch) + len(calls)

    for eager in (counting, lambda batch: torch.nn.functional.dropout(plain(batch), training=True)):
        with pytest.raises(ModelFault, match="^mine: outputs of eager change from call to call: .*Remove what changes"):
            asked(model, eager)


def test_an_in_place_model_is_named_and_spoils_nothing(model):
    def in_place(batch):
        return plain(batch.sub_(0.5))

    found = asked(model, in_place)
    assert found.changes_input and found.notes == ("the model changes its input in place; here it gets a copy",)
    assert (found.outputs["output"] == singly(model, lambda batch: plain(batch - 0.5))).all()
    assert (asked(model, plain).outputs["output"] == singly(model, plain)).all()


def test_outputs_that_share_memory_with_the_input_or_a_buffer_are_copied(model):
    buffer = torch.zeros(1, 2)
    found = asked(
        model, lambda batch: (batch[:, :, 0, 0], buffer.copy_(plain(batch)) if len(batch) == 1 else plain(batch))
    )
    assert found.outputs["output_0"][:, 0] == pytest.approx([grey / 255 for grey in GREYS])
    assert (found.outputs["output_1"] == singly(model, plain)).all()


@pytest.mark.parametrize(
    "eager, said",
    [
        (
            lambda batch: batch.flatten(1)[:, : 1 + int(batch.mean() > 0.5)],
            "shape of output .* for 00.png, .* for 01.png",
        ),
        (
            lambda batch: plain(batch) if batch.mean() < 0.5 else (plain(batch),) * 2,
            "outputs change .* output for 00.png",
        ),
        (lambda batch: plain(batch) if batch.mean() < 0.5 else plain(batch).int(), "type of output .*int32 for 01.png"),
        (
            lambda batch: torch.ones(int(batch.mean() * 99), 4),
            r"with shape \(3, 4\) for a batch of 1: the first axis",
        ),
    ],
    ids=["shape", "names", "type", "rows"],
)
def test_outputs_whose_form_changes_with_the_image_are_one_line(model, eager, said):
    with pytest.raises(UserError, match=f"^mine eager_fp32.*{said}") as caught:
        asked(model, eager)
    assert "\n" not in str(caught.value)


def test_one_image_alone_has_no_batch(model, tmp_path):
    for path in sorted(tmp_path.glob("*.png"))[1:]:
        path.unlink()
    model.judged = Judged(image_folder.list_images(tmp_path), preprocess)
    assert asked(model, plain).notes == () and asked(model, plain).batch.asked == 0


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 50, 1000])
def test_the_sample_is_spread_and_has_the_extremes(total):
    sample = _Sample(total)
    values = [(place * 37) % total for place in range(total)]
    for value in values:
        sample.offer(torch.full((1, 3, 2, 2), float(value)))
    kept = list(sample.rows)
    assert kept == sorted(kept) and 0 in kept and len(kept) <= 10
    assert {values.index(min(values)), values.index(max(values))} <= set(kept)
    assert max(after - before for before, after in zip(kept, [*kept[1:], total])) <= -(-total // 8)


def test_the_note_names_the_images_and_the_reason():
    assert BatchDependence(10, 2e-5, (), 1e-6).note == ""
    note = BatchDependence(10, 2e-5, tuple("abcd"), 0.25).note
    assert "in a batch of 10 they change on 4 of 10 images (a, b, c …), by up to 0.25 of the scale" in note
    assert "keeps state or draws at random" in BatchDependence(10, 2e-5, ("a",), 0.25, repeats=False).note
    assert "fails on a batch of 10 but not on one image: oops" in BatchDependence(10, 2e-5, error="oops").note
    json.dumps(BatchDependence(10, 2e-5, ("a",), math.inf).as_dict(), allow_nan=False)


class Scale(torch.nn.Module):
    """Its repr lacks its factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, picture):
        return preprocess(picture) * self.factor


def test_images_are_shared_by_published_preprocessing_and_by_identity_alone(model):
    session = SimpleNamespace(_judged=[], images=())
    one, other = Scale(1.0), Scale(3.0)
    assert repr(one) == repr(other)
    specs = [
        ModelSpec("a", builder=torch.nn.ReLU, preprocess=one),
        ModelSpec("b", builder=torch.nn.ReLU, preprocess=other),
        ModelSpec("c", builder=torch.nn.ReLU, preprocess=one),
        ModelSpec("resnet18", "ResNet18_Weights.IMAGENET1K_V1"),
        ModelSpec("resnet50", "ResNet50_Weights.IMAGENET1K_V1"),
        ModelSpec("inception_v3", "Inception_V3_Weights.IMAGENET1K_V1"),
    ]
    a, b, c, resnet18, resnet50, inception = (Session.judged(session, spec) for spec in specs)
    assert a is c and a is not b and resnet18 is resnet50 and len({*map(id, (a, b, resnet18, inception))}) == 4
    assert Session.judged(session, specs[1]) is b
    (picture,) = (Image.new("RGB", (4, 4), (51, 0, 0)),)
    assert (a.preprocess(picture).max(), b.preprocess(picture).max()) == pytest.approx((0.2, 0.6))
