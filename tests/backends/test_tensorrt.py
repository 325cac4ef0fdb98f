"""Tests of backend tensorrt on an executing double, for the API of 8.4, 8.6, 10.3, 10.13 and 11.4: a twin's life."""

from __future__ import annotations

import gc
import json
import warnings

import pytest
import torch
from torch import nn

from fixtures.backends import tensorrt
from fixtures.common import replay
from fixtures.common.build_options import DEFAULT, BuildOptions
from fixtures.common.errors import UserError
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, load, relative_error, small_model

TOLERANCE = {"fp32": 1e-5, "tf32": 1e-5, "fp16": 1e-2, "int8": 5e-2}


class TwoOutputs(nn.Module):
    def forward(self, batch):
        return batch.mean((2, 3)), torch.relu(batch)


class ManyOutputs(nn.Module):
    def forward(self, batch):
        return tuple(batch * (number + 1) for number in range(12))


@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
def test_an_engine_is_built_stored_loaded_and_agrees(trt, precision, tmp_path):
    model, example = small_model(), image_batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        twin, path = built(tensorrt, tmp_path, model, precision)
        loaded = load(tensorrt, path, example, precision)
    other = image_batch(2)[1:]
    for batch in (example, other, example):
        expected = model(batch).detach()
        assert relative_error(twin(batch), expected) < TOLERANCE[precision]
        assert relative_error(loaded(batch), expected) < TOLERANCE[precision]
        assert loaded(batch).dtype == torch.float32
    assert relative_error(model(other), model(example)) > 2 * TOLERANCE[precision], "the batches must differ"
    assert [entry.name for entry in tmp_path.iterdir()] == ["artefact.engine"], "nothing but the engine is left"


def test_the_output_is_in_a_fixed_buffer(trt, tmp_path):
    twin, _ = built(tensorrt, tmp_path)
    first, second = image_batch(3)[:1], image_batch(3)[1:2]
    output = twin(first)
    kept = output.clone()
    assert twin(second).data_ptr() == output.data_ptr()
    assert not torch.equal(output, kept), "the next call overwrites the output"


def test_the_current_stream_is_used_and_the_address_set_only_when_it_changes(trt, tmp_path, monkeypatch):
    runs, addresses = [], []
    execute = trt.IExecutionContext._run

    def spy(context, named, stream):
        addresses.append(named["input"])
        runs.append(stream)
        return execute(context, named, stream)

    monkeypatch.setattr(trt.IExecutionContext, "_run", spy)
    twin, _ = built(tensorrt, tmp_path)
    settings = []
    entry = twin._take.__self__
    set_address = entry._set_address
    entry._set_address = lambda address: settings.append(address) or set_address(address)
    first, second = image_batch(), image_batch(2)[1:]
    for batch in (first, first, second, second, first):
        twin(batch)
    assert runs == [on_host.STREAM] * 5
    assert addresses == [batch.data_ptr() for batch in (first, first, second, second, first)]
    assert settings == [first.data_ptr(), second.data_ptr(), first.data_ptr()]


def test_a_batch_that_is_not_contiguous_is_copied(trt, tmp_path):
    model, twin = small_model(), built(tensorrt, tmp_path)[0]
    batch = image_batch().permute(0, 1, 3, 2)
    assert not batch.is_contiguous()
    assert relative_error(twin(batch), model(batch).detach()) < 1e-5


@pytest.mark.parametrize("batch", [image_batch(2), image_batch().double(), image_batch(1, 8)])
def test_another_shape_or_type_is_refused_and_not_read_past_its_end(newest, batch, tmp_path):
    twin, _ = built(tensorrt, tmp_path)
    with pytest.raises(ValueError, match=r"the engine was built for \(1, 3, 16, 16\) torch.float32 on cpu"):
        twin(batch)


@pytest.mark.parametrize("model", [TwoOutputs(), ManyOutputs()])
def test_several_outputs_come_in_the_model_s_order(trt, model, tmp_path):
    twin, _ = built(tensorrt, tmp_path, model.eval())
    expected = model(image_batch())
    output = twin(image_batch())
    assert isinstance(output, tuple) and len(output) == len(expected)
    for got, wanted in zip(output, expected):
        assert got.shape == wanted.shape and relative_error(got, wanted) < 1e-5


class TwoInputs(nn.Module):
    """Returns a dict, for an image and a vector that goes with it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 + 4, 5)

    def forward(self, batch, vector):
        logits = self.layer(torch.cat([batch.mean((2, 3)), vector], 1))
        return {"scores": logits, "input_0": batch.mean(1), "total_2": logits.sum(1)}


def test_several_inputs_and_a_dict_come_back_as_the_model_has_them(trt, tmp_path):
    model = TwoInputs().eval()
    batches = [(image_batch(count)[-1:], torch.full((1, 4), float(count))) for count in (1, 2)]
    twin, _ = built(tensorrt, tmp_path, model, example=batches[0])
    for batch in batches:
        got, expected = twin(batch), model(*batch)
        assert set(got) == set(expected)
        for name, wanted in expected.items():
            assert got[name].shape == wanted.shape and relative_error(got[name], wanted.detach()) < 1e-5
    with pytest.raises(ValueError, match="got 1 inputs, the engine has 2"):
        twin(batches[0][0])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_engine_serves_every_batch_size_of_its_profile(trt, precision, tmp_path):
    model, options = small_model(), BuildOptions(batch_profile=(1, 2, 4))
    _, path = built(tensorrt, tmp_path, model, precision, image_batch(2), options)
    for count in (1, 2, 4):
        batch = image_batch(count)
        assert relative_error(load(tensorrt, path, batch, precision)(batch), model(batch)) < TOLERANCE[precision]
    with pytest.raises(
        UserError, match="takes no batches of 5 in that size: .*out of the profile; give the model a batch_profile"
    ):
        load(tensorrt, path, image_batch(5), precision)


def test_a_call_that_fails_says_why(newest, tmp_path, monkeypatch):
    twin, _ = built(tensorrt, tmp_path)
    with pytest.raises(RuntimeError, match="Address is not set for tensor input"):
        monkeypatch.setattr(twin._take.__self__, "_set_address", lambda address: None)
        twin(image_batch())


def test_closing_frees_engine_and_context(trt, tmp_path):
    twin, path = built(tensorrt, tmp_path)
    second = load(tensorrt, path, image_batch())
    twin(image_batch())
    assert len(trt.double.alive) == 4
    twin.close()
    second.close()
    gc.collect()
    assert len(trt.double.alive) == 0


def test_replay_from_a_cuda_graph_is_an_option(newest, tmp_path, monkeypatch):
    captured = []
    monkeypatch.setattr(replay, "Replay", lambda twin, example: captured.append((twin, example)) or "replayed")
    _, path = built(tensorrt, tmp_path)
    example = image_batch()
    assert load(tensorrt, path, example, options=BuildOptions(flags=frozenset([tensorrt.REPLAY]))) == "replayed"
    ((twin, captured_example),) = captured
    assert captured_example is example and relative_error(twin(example), small_model()(example).detach()) < 1e-5


def test_key_facts_can_be_written_and_tell_workspaces_apart(newest):
    facts = tensorrt.key_facts("cpu", DEFAULT)
    assert {"tensorrt", "cuda", "gpu", "gpu_compute_capability", "workspace_bytes"} <= set(facts)
    assert json.loads(json.dumps(facts)) == facts
    assert facts != tensorrt.key_facts("cpu", BuildOptions(workspace_bytes=2**20))
