"""Tests of end-to-end timing: a fake clock drives the stages and the real-time verdict."""

from __future__ import annotations

import types

import numpy
import pytest

from fixtures.checks import end_to_end
from fixtures.checks.end_to_end import Loop, Pipeline, cycles, figures, pipeline_of
from fixtures.images import folder as image_folder
from fixtures.models.zoo import ModelSpec

IMAGES = [image_folder.BUNDLED / name for name in ("bee_01.jpg", "hen_01.jpg")]


class Clock:
    """Advances by one second per reading."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_stages_are_timed_separately_and_images_alternate():
    clock, corners = Clock(), []

    def preprocess(image):
        clock.now += 10
        corners.append(image.getpixel((0, 0)))
        return "batch"

    def run(batch):
        assert batch == "batch"
        clock.now += 100
        return {"output": numpy.ones(1)}

    def postprocess(outputs, image):
        clock.now += 1000
        return {"corner": image.getpixel((0, 0))}

    loop = Loop(Pipeline(preprocess, run, postprocess), IMAGES, clock)
    for _ in range(3):
        loop()
    assert loop.seconds == {"decode": [1] * 3, "preprocess": [11] * 3, "run": [101] * 3, "answer": [1001] * 3}
    assert corners[0] == corners[2] != corners[1]
    assert loop.predictions == {0: {"corner": corners[0]}, 1: {"corner": corners[1]}}


def seconds(calls=100, **slow):
    """Stages of 1 ms each; `slow` names those that take longer."""
    return {stage: [slow.get(stage, 0.001)] * calls for stage in end_to_end.STAGES}


def test_slow_preprocessing_is_not_hidden():
    found = figures(seconds(preprocess=0.040), fps=30)
    assert found["preprocessing_share"] == pytest.approx(41 / 43) and found["run_p50_s"] == pytest.approx(0.001)
    assert found["realtime"] is False, "the model alone takes 1 ms, the frame 42"


def test_decoding_the_file_is_not_part_of_a_frame():
    found = figures(seconds(decode=1.0), fps=30)
    assert found["realtime"] is True and found["total_p50_s"] == pytest.approx(1.003)
    assert found["realtime_fps"] == pytest.approx(1 / 0.003)


def test_real_time_is_judged_on_the_tail():
    late = seconds()
    late["run"][:3] = [0.050] * 3
    assert figures(late, fps=30)["realtime"] is False, "p99"
    fewer = {stage: values[:99] for stage, values in late.items()}
    assert figures(fewer, fps=30)["realtime"] is True, "p95, below 100 calls"
    assert figures(fewer, fps=30)["frame_p99_s"] is None


@pytest.mark.parametrize("call_s, expected", [(0.005, 25), (0.010, 25), (0.020, 12), (0.1, 3), (2.0, 3)])
def test_cycles_fill_the_time_but_are_at_least_three(call_s, expected):
    assert cycles(call_s, images=4, max_time_s=1.0) == expected


def model_of(task):
    """A model and a twin that predicts class 1 of three."""
    import torch

    spec = ModelSpec("mine", task=task, builder=object, preprocess=lambda image: torch.ones(3, 2, 2),
                     class_names=("bee", "hen", "cup"))  # fmt: skip
    twin = types.SimpleNamespace(run=lambda batch: torch.tensor([[0.0, 2.0, 1.0]]) * batch[0, 0, 0, 0])
    return types.SimpleNamespace(spec=spec, run_device="cpu", judged_output="output"), twin


def test_classifier_predicts_names_and_probabilities():
    loop = Loop(pipeline_of(*model_of("classification")), IMAGES)
    prediction = loop()
    assert prediction["names"] == ["hen", "cup", "bee"]
    assert prediction["probabilities"] == pytest.approx([0.6652, 0.2447, 0.0900], abs=1e-4)
    assert loop.outputs[0]["output"].shape == (1, 3)


def test_raw_outputs_are_reported_by_shape():
    assert Loop(pipeline_of(*model_of("tensor")), IMAGES)() == {"output": [1, 3]}


def test_preprocessing_and_box_decoding_use_one_thread_and_inference_all(monkeypatch):
    import torch

    seen = []

    def no_boxes(outputs, size):
        note(seen, "boxes")
        return types.SimpleNamespace(boxes=numpy.zeros((0, 4)), scores=numpy.zeros(0), labels=numpy.zeros(0))

    spec = ModelSpec("mine", task="tensor", builder=object, preprocess=lambda image: note(seen, "one"))
    twin = types.SimpleNamespace(run=lambda batch: note(seen, "all"))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        Loop(pipeline_of(types.SimpleNamespace(spec=spec, run_device="cpu"), twin), IMAGES)()
        assert seen == [("one", 1), ("all", 2)]
        broken = ModelSpec("mine", task="tensor", builder=object, preprocess=lambda image: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipeline_of(types.SimpleNamespace(spec=broken, run_device="cpu"), twin).preprocess(None)
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(end_to_end, "preprocessing", lambda spec: None)  # A detector's is made by its builder.
        finder, _ = model_of("detection")
        finder.detector = types.SimpleNamespace(boxes=no_boxes)
        assert pipeline_of(finder, twin).postprocess({}, types.SimpleNamespace(size=(8, 8)))["boxes"] == []
        assert seen[-1] == ("boxes", 1)
    finally:
        torch.set_num_threads(threads)


def note(seen, where):
    """Records torch's thread count and returns a tensor."""
    import torch

    seen.append((where, torch.get_num_threads()))
    return torch.ones(1)
