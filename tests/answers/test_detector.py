"""Tests of boxes and masks from a core's outputs, on every backend, against torchvision's own; and of drawings."""

from __future__ import annotations

import dataclasses
import itertools
import types

import numpy
import pytest
import torch

from fixtures.answers.detector import Detector
from fixtures.answers.masks import masks_of
from fixtures.backends import onnxruntime, tensorrt, torch2trt
from fixtures.checks import end_to_end, pictures
from fixtures.common.build_options import BuildRequest
from fixtures.common.outputs import concatenate, to_numpy
from fixtures.images import decoding
from fixtures.images import folder as image_folder
from fixtures.judge.agreement import agree_all
from fixtures.judge.detection import judge
from fixtures.judge.segmentation import judge_masks
from fixtures.models.cores import core
from fixtures.models.zoo import preprocessing
from fixtures.mutants import dense as mutants_dense
from fixtures.tolerances.boxes import TABLE
from fixtures.tolerances.masks import TABLE as MASK_TABLE
from fixtures.tolerances.outputs import tolerance
from tests.doubles import on_host
from tests.doubles.small import load
from tests.doubles.tensorrt_double import VERSIONS
from tests.model_files import tiny_dense

DETECTOR, _, SEGMENTER = tiny_dense.MODELS
IMAGES = image_folder.judged_images(image_folder.BUNDLED)[::6]
NAMES = [image.name for image in IMAGES]


class Case:
    """A tiny model, its core's input images, and its outputs."""

    def __init__(self, spec):
        self.spec = spec
        self.module = spec.builder()
        self.core = core(spec, self.module).requires_grad_(False)
        self.batch = image_folder.load(IMAGES, preprocessing(spec)).batch
        self.reference = self.answers(self.core)

    def answers(self, run):
        with torch.inference_mode():
            return concatenate([to_numpy(run(row)) for row in self.batch.split(1)])


@pytest.fixture(scope="module")
def detector():
    return Case(DETECTOR)


@pytest.fixture(scope="module")
def segmenter():
    return Case(SEGMENTER)


@pytest.fixture(scope="module")
def decoder():
    return Detector(DETECTOR)


def test_boxes_equal_those_of_torchvisions_own_forward(detector, decoder):
    """Bit for bit, including transform, anchors, decoding and NMS."""
    found = decoder.boxes_of(detector.reference, IMAGES)
    for image, ours in zip(IMAGES, found):
        with torch.inference_mode():
            (expected,) = detector.module([tiny_dense.plain(decoding.open_rgb(image.path))])
        for name in ("boxes", "scores", "labels"):
            assert numpy.array_equal(getattr(ours, name), expected[name].numpy()), (image.name, name)
    assert sum(map(len, found)) > 20


def backend(name, monkeypatch):
    if name == "onnxruntime":
        return onnxruntime
    on_host.torch2trt(monkeypatch, "10.3") if name == "torch2trt" else on_host.tensorrt(monkeypatch, name)
    return torch2trt if name == "torch2trt" else tensorrt


@pytest.mark.parametrize(
    ("name", "precision"),
    [("onnxruntime", "fp32"), *itertools.product(["torch2trt", *VERSIONS], ["fp32", "fp16"])],
)
def test_every_backend_runs_both_cores(name, precision, detector, segmenter, decoder, monkeypatch, tmp_path):
    module = backend(name, monkeypatch)
    for case in (detector, segmenter):
        path = tmp_path / f"{case.spec.name}{module.ENGINE_SUFFIX}"
        example = case.batch[:1].clone()
        module.build(BuildRequest(case.core, example, precision, path)).close()
        twin = load(module, path, example, precision)
        answers = case.answers(twin)
        assert agree_all(answers, case.reference, tolerance(precision, "calibrated"), NAMES)
        if case is detector:
            ours, eagers = (decoder.boxes_of(one, IMAGES) for one in (answers, case.reference))
            assert judge(ours, eagers, TABLE[precision], decoder.limits, NAMES)
        else:
            ours, eagers = masks_of(answers["out"]), masks_of(case.reference["out"])
            assert judge_masks(ours, eagers, MASK_TABLE[precision], NAMES)
        twin.close()


@pytest.mark.parametrize("mutant", mutants_dense.BOX_MUTANTS, ids=lambda mutant: mutant.name)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_wrong_boxes_are_refused(mutant, precision, detector, decoder):
    found = decoder.boxes_of(detector.reference, IMAGES)
    wrong = [*map(mutants_dense.BOX_MUTANTS[mutant], found, decoder.pixels(IMAGES))]
    assert not judge(wrong, found, TABLE[precision], decoder.limits, NAMES)
    assert judge(found, found, TABLE[precision], decoder.limits, NAMES)


def test_20_runs_with_different_rounding_all_agree(detector, decoder):
    """Rounding changes every number by up to a millionth, about fp32's error, and boxes and scores with it."""
    right, limit = {name: array[:3] for name, array in detector.reference.items()}, TABLE["fp32"]
    eagers, found = decoder.boxes_of(right, IMAGES[:3]), []
    for seed in range(20):
        noise = numpy.random.default_rng(seed)
        rounded = {
            name: array * (1 + noise.uniform(-1e-6, 1e-6, array.shape)).astype(array.dtype)
            for name, array in right.items()
        }
        found.append(judge(decoder.boxes_of(rounded, IMAGES[:3]), eagers, limit, decoder.limits, NAMES[:3]))
    assert {(bool(one), one.matched, one.unmatched, one.excused) for one in found} == {(True, found[0].boxes, 0, 0)}
    assert found[0].boxes > 20 and len({one.max_drift for one in found}) == 20, "20 runs that are not the same"


def test_boxes_off_by_8_pixels_are_off_by_8_pixels_of_the_input(detector, decoder):
    """Whatever the image's size."""
    found, (image,) = decoder.boxes_of(detector.reference, IMAGES[:1])[0], IMAGES[:1]
    (pixel,) = decoder.pixels([image])
    wrong = mutants_dense.boxes_off(found, pixel)
    width, height = decoding.open_rgb(image.path).size
    assert width != height
    shift = (wrong.boxes - found.boxes) / numpy.float32([width, height, width, height])
    assert shift == pytest.approx(numpy.full_like(shift, 8 / 64), abs=1e-5) and tiny_dense.SIZE == (64, 64)
    assert wrong.scores is found.scores and wrong.labels is found.labels


@pytest.mark.parametrize("mutant", mutants_dense.MASK_MUTANTS, ids=lambda mutant: mutant.name)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_wrong_masks_are_refused(mutant, precision, segmenter):
    masks = masks_of(segmenter.reference["out"])
    assert not judge_masks(mutants_dense.MASK_MUTANTS[mutant](masks), masks, MASK_TABLE[precision], NAMES)


def test_end_to_end_predictions_are_readable(detector, segmenter, decoder):
    picture = decoding.open_rgb(IMAGES[0].path)
    for case in (detector, segmenter):
        model = types.SimpleNamespace(spec=case.spec, run_device="cpu", detector=decoder)
        pipeline = end_to_end.pipeline_of(model, types.SimpleNamespace(run=case.core))
        prediction = pipeline.postprocess(pipeline.run(pipeline.preprocess(picture)), picture)
        if case is segmenter:
            assert set(prediction) <= set(tiny_dense.CLASSES) and sum(prediction.values()) == pytest.approx(1)
        else:
            expected = decoder.boxes_of(detector.reference, IMAGES[:1])[0]
            assert prediction["boxes"] == expected.boxes.tolist() and len(prediction["names"]) == len(
                prediction["scores"]
            )
            assert set(prediction["names"]) <= set(tiny_dense.CLASSES)


def test_end_to_end_pixels_without_a_finite_output_have_no_share(segmenter):
    model = types.SimpleNamespace(spec=segmenter.spec, run_device="cpu")
    pipeline = end_to_end.pipeline_of(model, types.SimpleNamespace(run=segmenter.core))
    maps = segmenter.reference["out"][:1].copy()
    maps[..., :16] = numpy.nan
    assert sum(pipeline.postprocess({"out": maps}, None).values()) == pytest.approx(0.75)
    assert pipeline.postprocess({"out": numpy.full_like(maps, numpy.nan)}, None) == {}


@pytest.mark.parametrize("task", ["detection", "segmentation", "tensor"])
def test_a_disagreement_saves_a_drawing_of_the_worst_image(task, detector, segmenter, decoder, tmp_path):
    case = segmenter if task == "segmentation" else detector
    model = types.SimpleNamespace(
        name="tiny",
        reference_name="eager",
        spec=dataclasses.replace(case.spec, task=task),
        image_names=NAMES,
        judged=types.SimpleNamespace(readable=IMAGES),
        reference=case.reference,
        detector=decoder,
    )
    wrong = {name: array.copy() for name, array in case.reference.items()}
    for array in wrong.values():
        array[2] = numpy.nan
    twin = types.SimpleNamespace(name="x", outputs=wrong)
    verdict = agree_all(wrong, case.reference, tolerance("fp32", "own"), NAMES)
    drawn = pictures.path_of(tmp_path, "tiny", "x", NAMES[2])
    words = pictures.keep_worst(tmp_path, model, twin, verdict)
    assert words == ("" if task == "tensor" else f" (drawing: {drawn}, eager on the left)")
    assert drawn.is_file() == (task != "tensor")
    right = agree_all(case.reference, case.reference, tolerance("fp32", "own"), NAMES)
    refused = agree_all({}, case.reference, tolerance("fp32", "own"), NAMES)
    assert right and not refused
    assert [pictures.keep_worst(tmp_path / "none", model, twin, one) for one in (right, refused)] == ["", ""]
