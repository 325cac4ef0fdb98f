"""Tests of backend torch2trt on executing doubles of torch2trt and TensorRT, for the API of 8.4 to 10.13."""

from __future__ import annotations

import gc
import json
import warnings

import pytest
import torch
from torch import nn

from fixtures.backends import torch2trt
from fixtures.common.build_options import DEFAULT, BuildOptions
from fixtures.common.errors import UserError
from tests.doubles import on_host, tensorrt_double, torch2trt_double
from tests.doubles.small import DAMAGES, built, image_batch, load, relative_error, small_model
from tests.doubles.tensorrt_double import VERSIONS


@pytest.fixture(params=VERSIONS[:-1])
def package(request, monkeypatch):
    """The double of torch2trt, once for each version of TensorRT that it works with."""
    return on_host.torch2trt(monkeypatch, request.param)


class Odd(nn.Module):
    """A layer without a converter."""

    def forward(self, batch):
        return batch


@pytest.mark.parametrize("precision", torch2trt.PRECISIONS)
def test_a_state_dict_is_stored_loaded_and_agrees(package, precision, tmp_path):
    model, example = small_model(), image_batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        twin, path = built(torch2trt, tmp_path, model, precision)
        loaded = load(torch2trt, path, example, precision)
    other = image_batch(2)[1:]
    for batch in (example, other):
        assert relative_error(twin(batch), model(batch)) < 1e-5
        assert relative_error(loaded(batch), model(batch)) < 1e-5
    assert relative_error(model(other), model(example)) > 1e-2, "the batches must differ"


def test_one_model_and_one_example_can_be_converted_again_and_again(package, tmp_path):
    model, example = small_model(), image_batch()
    for precision in torch2trt.PRECISIONS:
        built(torch2trt, tmp_path, model, precision, example)
    assert not any(hasattr(tensor, "_trt") for tensor in [example, *model.parameters()])


def test_the_double_fails_where_the_same_tensors_are_converted_twice(newest_torch2trt):
    model, example = small_model(), image_batch()
    newest_torch2trt.torch2trt(model, [example])
    with pytest.raises(AttributeError, match="get_output"):
        newest_torch2trt.torch2trt(model, [image_batch()])
    with pytest.raises(AttributeError, match="get_output"):
        newest_torch2trt.torch2trt(small_model(), [example])


def test_tf32_is_off_and_precisions_are_flags(package, tmp_path):
    for precision, expected in (("fp32", set()), ("fp16", {"FP16"}), ("int8", {"INT8"})):
        built(torch2trt, tmp_path, precision=precision)
        assert {flag.name for flag in package.trt.double.built._flags} == expected


def test_workspace_is_torch2trts_own_by_default(package, tmp_path):
    own = {package.trt.MemoryPoolType.WORKSPACE: 2**25} if package.trt.__version__.startswith("8.") else {}
    built(torch2trt, tmp_path)
    assert package.trt.double.built._pools == own, "it sets 32 MiB before TensorRT 10 and nothing since"
    built(torch2trt, tmp_path, options=BuildOptions(workspace_bytes=2**28))
    assert package.trt.double.built._pools == {package.trt.MemoryPoolType.WORKSPACE: 2**28}


def test_int8_calibrates_with_whole_batches_of_images(package, tmp_path):
    built(torch2trt, tmp_path, precision="int8", example=image_batch(4))
    read = package.double.calibrated
    assert [size for size, _ in read] == [4, 4, 4, 4], "14 images in fours, the last filled up from the first two"
    batch = image_batch(14)
    expected = [
        float(batch[[index % 14 for index in range(start, start + 4)]].double().sum()) for start in (0, 4, 8, 12)
    ]
    assert [total for _, total in read] == pytest.approx(expected, abs=1e-2)
    assert package.double.calls[-1]["algorithm"] == package.trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2


def test_a_second_build_replays_the_timing_cache(package, tmp_path):
    options = BuildOptions(timing_folder=tmp_path / "timing")
    for _ in range(2):
        built(torch2trt, tmp_path, options=options)
    assert package.trt.double.timed[0] > 0 and package.trt.double.timed[1] == 0


def test_a_layer_without_converter_is_refused_in_one_line(package, tmp_path):
    package.double.without_converter = (Odd,)
    with pytest.raises(UserError) as error:
        built(torch2trt, tmp_path, small_model(Odd()))
    assert str(error.value).startswith("torch2trt cannot convert Sequential: AttributeError: 'Tensor' object has no")
    assert "\n" not in str(error.value)


def test_an_engine_that_cannot_be_built_gives_tensorrt_s_reason(package, tmp_path):
    package.trt.double.unsupported_kernels.add("Conv")
    with pytest.raises(
        UserError, match="cannot build what torch2trt made of Sequential in fp32: .*Unsupported SM: 0x900"
    ):
        built(torch2trt, tmp_path)
    assert not (tmp_path / "artefact.pth").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(newest_torch2trt, damage, tmp_path):
    _, path = built(torch2trt, tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as error:
        load(torch2trt, path, image_batch())
    assert str(error.value).startswith(f"torch2trt cannot load {path}: ") and "\n" not in str(error.value)


def test_a_damaged_engine_in_a_whole_file_gives_tensorrt_s_reason(package, tmp_path):
    _, path = built(torch2trt, tmp_path)
    state = torch.load(path, weights_only=False)
    state["engine"] = state["engine"][:-50]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"cannot load .*: .*Serialization assertion.* \(AttributeError: 'None"):
        load(torch2trt, path, image_batch())


def test_loggers_and_builders_are_put_back(package, tmp_path):
    before = package.trt.Builder.create_builder_config, package.trt.Logger
    built(torch2trt, tmp_path)
    package.double.without_converter = (Odd,)
    with pytest.raises(UserError):
        built(torch2trt, tmp_path, small_model(Odd()))
    assert (package.trt.Builder.create_builder_config, package.trt.Logger) == before


def test_a_batch_that_is_not_contiguous_outlives_the_call(package, tmp_path, monkeypatch):
    twin, _ = built(torch2trt, tmp_path)
    given = []
    run = package.trt.IExecutionContext._run
    monkeypatch.setattr(package.TRTModule, "forward", lambda module, batch: given.append(batch.is_contiguous()))
    twin(image_batch().permute(0, 1, 3, 2))
    assert given == [True] and run


def test_closing_frees_engine_and_context(package, tmp_path):
    twin, path = built(torch2trt, tmp_path)
    second = load(torch2trt, path, image_batch())
    assert len(package.trt.double.alive) == 4
    twin.close()
    second.close()
    gc.collect()
    assert len(package.trt.double.alive) == 0


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"tensorrt": "10.3.0", "torch2trt": ""}, None),
        ({"tensorrt": "10.16.1.11", "torch2trt": ""}, None),
        ({"tensorrt": "10.3.0"}, "torch2trt is not installed; it is not on PyPI, see docs/tensorrt.md"),
        ({"torch2trt": ""}, "tensorrt is not installed"),
        ({"tensorrt": "11.4.0.106", "torch2trt": ""}, "torch2trt does not work with TensorRT 11.4.0.106"),
        ({"tensorrt": "11.0.0.114"}, "torch2trt does not work with TensorRT 11.0.0.114"),
        ({"tensorrt": "10.3.0", "torch2trt": "", "gpu": False}, "no CUDA device here"),
    ],
)
def test_what_is_missing_is_named_without_importing_anything(given, expected, monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, **given)
    reason = torch2trt.unavailable("cuda:0")
    assert reason is None if expected is None else reason.startswith(expected) and "\n" not in reason


def test_the_double_does_not_import_beside_tensorrt_11():
    with pytest.raises(AttributeError, match="CalibrationAlgoType"):
        torch2trt_double.make(tensorrt_double.make(VERSIONS[-1]))


def test_key_facts_tell_sources_and_options_apart(monkeypatch, tmp_path):
    on_host.machine(monkeypatch, tmp_path, torch2trt="")
    facts = torch2trt.key_facts("cpu", DEFAULT)
    assert json.loads(json.dumps(facts)) == facts
    assert {"tensorrt", "torch2trt", "cuda", "gpu", "gpu_compute_capability", "workspace_bytes"} <= set(facts)
    choices = (BuildOptions(flags=frozenset([torch2trt.THROUGH_ONNX])), BuildOptions(2**20))
    others = [torch2trt.key_facts("cpu", options) for options in choices]
    (tmp_path / "torch2trt" / "more.py").write_text("# another commit\n")
    others.append(torch2trt.key_facts("cpu", DEFAULT))
    assert facts not in others and len({json.dumps(other) for other in others}) == 3


@pytest.mark.parametrize(
    "version, safe", [("2.15.0+cu132", True), ("2.6.0", True), ("2.5.0a0+nv24.08", False), ("2.1.2", False)]
)
def test_torch_loads_safely_where_it_can(version, safe):
    assert torch2trt._weights_only(version) is safe
