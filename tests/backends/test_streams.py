"""Tests of further contexts: they share the engine, and nothing that a call writes to."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from fixtures.backends import TWINS, cuda_graph, eager, onnxruntime, tensorrt, tensorrt_rtx
from fixtures.common import replay
from fixtures.common.build_options import BuildOptions, BuildRequest
from tests.backends.test_torch import Graph, Recorded, host_graphs  # noqa: F401
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, relative_error, small_model
from tests.doubles.tensorrt_double import RTX_VERSIONS

IMAGES = [image_batch(3)[place : place + 1] for place in range(3)]


def at_once(runs):
    """Outputs of each run for its image, all called at once from threads, read when all have finished."""
    gate, found = threading.Barrier(len(runs)), [None] * len(runs)

    def call(place):
        gate.wait()
        outputs = runs[place](IMAGES[place])
        gate.wait()
        found[place] = outputs.clone()

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def check(backend, twin, limit=1e-5):
    """Two contexts besides the twin's give the model's outputs at once, and end without ending the twin."""
    further = [backend.another_context(twin, image_batch()) for _ in range(2)]
    for image, output in zip(IMAGES, at_once([twin, *further])):
        assert relative_error(output, small_model()(image)) < limit
    for run in further:
        run.close()
    assert relative_error(twin(IMAGES[0]).clone(), small_model()(IMAGES[0])) < limit


def test_tensorrt_makes_contexts_of_one_engine(trt, tmp_path):
    twin, _ = built(tensorrt, tmp_path)
    check(tensorrt, twin)
    assert trt.double.calls.count("deserialise") == 1
    twin.close()
    gc.collect()
    assert not list(trt.double.alive)


def test_an_engine_lives_as_long_as_its_last_context(newest, tmp_path):
    twin, _ = built(tensorrt, tmp_path)
    further = tensorrt.another_context(twin, image_batch())
    twin.close()
    assert relative_error(further(IMAGES[1]), small_model()(IMAGES[1])) < 1e-5


@pytest.mark.parametrize("version", RTX_VERSIONS)
def test_each_context_of_rtx_has_a_runtime_configuration_of_its_own_and_finds_the_kernels(
    version, monkeypatch, tmp_path
):
    trt = on_host.tensorrt(monkeypatch, version)
    twin, _ = built(tensorrt_rtx, tmp_path, precision="tf32")
    check(tensorrt_rtx, twin)
    assert trt.double.calls.count("deserialise") == 1
    assert trt.double.compiled[0] > 0 and trt.double.compiled[1:] == [0, 0]
    assert trt.double.strategies == [("EAGER", "DISABLED")] * 3


def test_one_session_of_onnx_runtime_serves_every_caller(tmp_path, monkeypatch):
    import onnxruntime as package

    made, session = [], package.InferenceSession
    monkeypatch.setattr(package, "InferenceSession", lambda *given, **named: made.append(1) or session(*given, **named))
    twin, _ = built(onnxruntime, tmp_path)
    check(onnxruntime, twin)
    assert made == [1]


def test_eager_is_called_from_every_thread():
    check(eager, eager.build(BuildRequest(small_model(), image_batch(), "fp32")))


def test_a_graph_of_its_own_has_input_and_output_of_its_own(host_graphs):  # noqa: F811
    Graph.model = model = Recorded()
    twin = cuda_graph.build(BuildRequest(model, torch.randn(2, 4), "fp32"))
    calls = len(model.calls)
    further = cuda_graph.another_context(twin, torch.randn(2, 4))
    assert len(model.calls) == calls + replay.WARM_UP_CALLS + 1, "captured again"
    assert further.captured is twin.captured and further._graph is not twin._graph
    assert further._input.data_ptr() != twin._input.data_ptr()
    further.close()
    assert further._graph.freed and not twin._graph.freed and twin.captured is not None


def test_a_captured_engine_gets_a_context_and_a_graph_of_its_own(newest, host_graphs, tmp_path, monkeypatch):  # noqa: F811
    captured = []

    class Replayed:
        def __init__(self, call, example, *_):
            self.captured = call
            captured.append(call)

        def __call__(self, batch):
            return self.captured(batch)

        def close(self):
            self.captured.close()

    monkeypatch.setattr(replay, "Replay", Replayed)
    monkeypatch.setattr(replay, "captured", Replayed)
    twin, _ = built(tensorrt, tmp_path, options=BuildOptions(flags=frozenset([tensorrt.REPLAY])))
    check(tensorrt, twin)
    assert len(captured) == 3 and newest.double.calls.count("deserialise") == 1


def test_every_backend_offers_streams_or_says_why_not():
    for spec in TWINS.values():
        assert spec.module.another_context or (spec.module.NO_STREAMS and "\n" not in spec.module.NO_STREAMS)
    offering = {spec.backend for spec in TWINS.values() if spec.module.another_context}
    assert offering >= {"eager", "cpu", "cuda_graph", "onnxruntime", "tensorrt", "tensorrt_rtx"}
    assert not offering & {"inductor", "torch2trt"}
