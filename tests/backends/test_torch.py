"""Tests of the backends that are plain torch: cuda_graph on a fake of CUDA graphs, inductor and cpu for real."""

from __future__ import annotations

import contextlib
import importlib.util
import types

import pytest
import torch
from torch import nn

from fixtures.backends import TWINS, cpu, cuda_graph, inductor, unavailable
from fixtures.common import replay
from fixtures.common.build_options import BuildRequest
from fixtures.common.errors import UserError
from fixtures.common.torch_precision import as_float32, in_precision
from fixtures.run import process
from tests.doubles import on_host


class Recorded(nn.Module):
    """A model that remembers its last call, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3).requires_grad_(False)
        self.calls = []

    def forward(self, batch):
        output = self.layer(batch)
        self.calls.append((batch, output))
        return output


class Graph:
    """A CUDA graph on the host: replays the model's last call into the same memory."""

    model = None

    def __init__(self) -> None:
        self.freed = False

    @torch.inference_mode()
    def replay(self):
        batch, output = self.model.calls[-1]
        output.copy_(self.model.layer(batch))

    def reset(self):
        self.freed = True


@pytest.fixture
def host_graphs(monkeypatch):
    """CUDA graphs and streams of torch on the host."""
    stream = types.SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, lambda given: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: contextlib.nullcontext())


def built(model, example, precision="fp32"):
    Graph.model = model
    return cuda_graph.build(BuildRequest(model, example, precision))


def test_a_graph_is_captured_after_a_warm_up_and_runs_every_batch(host_graphs):
    model, example = Recorded(), torch.randn(2, 4)
    twin = built(model, example)
    assert len(model.calls) == replay.WARM_UP_CALLS + 1
    with torch.inference_mode():
        for batch in (example, torch.randn(2, 4), torch.randn(2, 4)):
            assert torch.equal(twin(batch), model.layer(batch))
    assert len(model.calls) == replay.WARM_UP_CALLS + 1, "a replay runs no Python of the model"


def test_a_twin_is_not_used_for_another_batch_size(host_graphs, monkeypatch):
    expected = r"shape \(1, 4\), the twin was built for \(2, 4\); build one"
    with pytest.raises(ValueError, match=expected):
        built(Recorded(), torch.randn(2, 4))(torch.randn(1, 4))  # Would be repeated.
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)
    twin = inductor.build(BuildRequest(nn.Linear(4, 3), torch.randn(2, 4), "fp32"))
    with pytest.raises(ValueError, match=expected):
        twin(torch.randn(1, 4))  # Would recompile.


def test_a_graph_has_an_input_of_its_own(host_graphs):
    model, example = Recorded(), torch.ones(2, 4)
    twin = built(model, example)
    twin(torch.zeros(2, 4))
    assert torch.equal(example, torch.ones(2, 4)), "the example must not be overwritten"


@pytest.mark.parametrize(
    "said, reason",
    [
        ("CUDA error: operation not permitted when stream is capturing\nCompile with TORCH_USE_...", None),
        ("", "RuntimeError"),
    ],
)
def test_a_model_that_cannot_be_captured_is_refused_in_one_line(host_graphs, said, reason):
    class Waiting(nn.Module):
        def forward(self, batch):
            raise RuntimeError(said)

    with pytest.raises(UserError) as error:
        built(Waiting(), torch.randn(2, 4))
    reason = reason or "CUDA error: operation not permitted when stream is capturing"
    assert str(error.value) == f"Waiting cannot be captured in a CUDA graph: {reason}; drop this twin"


def test_closing_frees_the_graph(host_graphs):
    twin = built(Recorded(), torch.randn(2, 4))
    graph = twin._graph
    twin.close()
    assert graph.freed and twin._output is None


def test_closing_closes_the_twin_that_was_captured(host_graphs):
    class Inner(Recorded):
        closed = False

        def close(self):
            self.closed = True

    inner = Graph.model = Inner()
    twin = replay.Replay(inner, torch.randn(2, 4))
    assert not inner.closed
    twin.close()
    assert inner.closed


def test_float16_is_a_copy_with_float32_outside():
    model = nn.PReLU(4).eval()  # One of the few that torch 2.1 runs in float16 on a CPU.
    half = in_precision(model, "fp16")
    output = half(torch.randn(2, 4))
    assert output.dtype == torch.float32 and half.model.weight.dtype == torch.float16
    assert model.weight.dtype == torch.float32 and in_precision(model, "fp32") is model


def test_outputs_of_any_structure_become_float32():
    half = torch.ones(2).half()
    output = as_float32({"a": (half, [half]), "b": torch.ones(1).long(), "c": None})
    assert output["a"][0].dtype == output["a"][1][0].dtype == torch.float32
    assert output["b"].dtype == torch.int64 and output["c"] is None


def test_cpu_leaves_the_model_where_it_is_and_agrees():
    model, batch = nn.Linear(4, 3).eval(), torch.randn(2, 4)
    twin = cpu.build(BuildRequest(model, batch, "fp32"))
    output = twin(batch)
    assert output.device.type == "cpu" and torch.equal(output, model(batch))
    assert twin.model is not model
    twin.close()
    assert twin.model is None


class OnDevice(torch.Tensor):
    """A tensor that says it is on a device, and forbids to be copied there."""

    def cpu(self):
        return self.as_subclass(torch.Tensor).clone()

    def __deepcopy__(self, memo):
        raise AssertionError("copied on the device")


def test_a_model_on_a_device_is_copied_to_the_cpu_and_never_to_its_device():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    model.add_module("tied", model[0])
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for module in (model[0], model[1]):
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(parameter.detach().as_subclass(OnDevice))
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.as_subclass(OnDevice)
    twin = cpu.build(BuildRequest(model, torch.randn(2, 4), "fp32"))
    copied = twin.model
    assert copied is not model and copied.tied is copied[0], "what was shared is shared"
    assert not any(isinstance(tensor, OnDevice) for tensor in (*copied.parameters(), *copied.buffers()))
    assert all(torch.equal(copied.state_dict()[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", ["cuda_graph_fp32", "cuda_graph_fp16", "inductor_fp32", "inductor_fp16", "cpu_fp32"])
def test_the_twins_are_in_the_registry(name):
    assert name in TWINS


@pytest.mark.parametrize(
    "twin, device, given, expected",
    [
        ("cuda_graph_fp32", "cuda:0", {}, None),
        ("cuda_graph_fp32", "cuda:0", {"gpu": False}, "no CUDA device here"),
        ("cuda_graph_fp32", "cuda:0", {"cuda": ""}, "the installed torch is built for the CPU only"),
        ("cuda_graph_fp32", "cpu", {}, "it needs the GPU, the models run on cpu"),
        ("cpu_fp32", "cuda:0", {}, None),
        ("cpu_fp32", "cpu", {}, "the models already run on the CPU"),
        ("inductor_fp32", "cuda:0", {"triton": ""}, None),
        ("inductor_fp32", "cuda:0", {"triton": "", "gpu": False}, "no CUDA device here"),
    ],
)
def test_what_is_missing_is_named(twin, device, given, expected, monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, **given)
    reason = unavailable(twin, device)
    assert reason is None if expected is None else reason.startswith(expected)


def test_inductor_names_the_compiler_or_triton(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert inductor.unavailable("cpu") == (
        "torch.compile needs a C++ compiler and no-such-compiler is not installed; apt install g++"
    )
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else find(name))
    assert inductor.unavailable("cuda:0").startswith("torch.compile needs the package triton")


def small_compiled():
    """In a worker: a compiled module's outputs, its float32 references, and what is left of the caches."""
    import os

    import torch._inductor.config

    # Spares the compiler a trial of each instruction set: seven seconds. No environment variable: whoever forked this
    # process has read them. Before torch 2.2 there is no such option.
    with contextlib.suppress(AttributeError):
        torch._inductor.config.cpp.vec_isa_ok = True
    torch.manual_seed(0)
    model, batches = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), torch.randn(2, 1, 4)
    twin = inductor.build(BuildRequest(model, batches[0], "fp32"))
    cache = twin._cache
    outputs = [twin(batch).tolist() for batch in batches]
    existed = os.path.isdir(cache)
    twin.close()
    return outputs, model(batches).tolist(), existed, os.path.exists(cache)


def test_inductor_compiles_in_a_worker_and_leaves_no_cache():
    reason = inductor.unavailable("cpu")
    if reason:
        pytest.skip(reason)
    outputs, expected, existed, left = process.run(small_compiled, title="compile", timeout_s=240)
    assert torch.allclose(torch.tensor(outputs), torch.tensor(expected), atol=1e-5)
    assert existed and not left


def test_inductor_says_in_one_line_what_it_cannot_compile(monkeypatch):
    def compiled(batch):
        raise torch._dynamo.exc.TorchDynamoException("no kernel\nfor this\n\nSet TORCH_LOGS=…")

    monkeypatch.setattr(torch, "compile", lambda model, **options: compiled)
    with pytest.raises(UserError) as error:
        inductor.build(BuildRequest(nn.Linear(4, 3), torch.randn(1, 4), "fp32"))
    assert str(error.value) == "torch.compile cannot compile Linear: no kernel for this; drop this twin"
