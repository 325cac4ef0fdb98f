"""Engines made elsewhere: their inputs and outputs are the model's by name, by position, or as the user says."""

from __future__ import annotations

import pytest
import torch

from fixtures.backends import onnxruntime, tensorrt, tensorrt_rtx
from fixtures.common.build_options import BuildOptions
from fixtures.common.errors import UserError
from fixtures.onnx import ports
from tests.doubles import engine_double, on_host
from tests.doubles.small import load
from tests.helpers import foreign

BATCH = torch.arange(12.0).reshape(1, 3, 2, 2)


@pytest.fixture(params=["onnxruntime", "8.4.1.5", "10.3.0", "1.7.1.116"])
def run(request, monkeypatch, tmp_path):
    """run(batch, output, …): what the file `run.path`, or an engine of it, gives for the batch.

    output: the model's, for its form.
    """
    backend, path = onnxruntime, tmp_path / "team.onnx"
    if request.param != "onnxruntime":
        trt = on_host.tensorrt(monkeypatch, request.param)
        backend = {"tensorrt": tensorrt, "tensorrt_rtx": tensorrt_rtx}[trt.__name__]

    def run(batch, output, arguments=(), named=(), profile=None):
        engine = path
        if backend is not onnxruntime:
            engine = tmp_path / "team.engine"
            facts = {"version": trt.__version__, "profile": profile or {}}
            engine.write_bytes(engine_double.packed(facts, path.read_bytes()))
        options = BuildOptions(engine_form=ports.form(batch, output, arguments, named))
        return load(backend, engine, batch, options=options)(batch)

    run.path = path
    return run


def test_a_single_output_of_any_name_is_the_model_s(run):
    weights = foreign.linear(run.path)
    output = run(BATCH, torch.zeros(1, 5))
    torch.testing.assert_close(output, BATCH.flatten(1) @ torch.from_numpy(weights))


def test_an_output_beyond_the_model_s_is_left_out_when_the_other_has_its_name(run):
    foreign.linear(run.path, scores="scores", extra=["aux"])
    output = run(BATCH, {"scores": torch.zeros(1, 5)})
    assert list(output) == ["scores"] and output["scores"].shape == (1, 5)


def test_names_win_over_positions(run):
    foreign.linear(run.path, scores="scores", extra=["flat_copy"])  # Its first output is flat_copy.
    output = run(BATCH, {"scores": torch.zeros(1, 5), "features": torch.zeros(1, 12)})
    assert list(output) == ["scores", "features"] and output["features"].tolist() == BATCH.flatten(1).tolist()


def test_several_outputs_go_by_position(run):
    foreign.linear(run.path, extra=["aux"])
    features, scores = run(BATCH, (torch.zeros(1, 12), torch.zeros(1, 5)))
    assert features.tolist() == BATCH.flatten(1).tolist() and scores.shape == (1, 5)


def test_outputs_that_the_user_names_are_taken_in_that_order(run):
    foreign.linear(run.path, extra=["a", "b"])
    scores, features = run(BATCH, (torch.zeros(1, 5), torch.zeros(1, 12)), named=("scores", "b"))
    assert scores.shape == (1, 5) and features.tolist() == BATCH.flatten(1).tolist()


def test_inputs_go_by_the_names_of_the_model_s_arguments_else_by_position(run):
    batch = torch.ones(1, 4), torch.full((1, 4), 10.0)
    foreign.weighted(run.path, names=("right", "left"))
    assert run(batch, torch.zeros(1, 4), arguments=("left", "right"))[0, 0] == 21
    assert run(batch, torch.zeros(1, 4), arguments=("x", "y"))[0, 0] == 12


def test_open_batch_height_and_width_are_the_example_s(run):
    foreign.pointwise(run.path)
    profile = {"images": [[1, 3, 2, 2], [1, 3, 2, 2], [4, 3, 8, 8]]}
    for height, width in ((2, 2), (4, 6)):
        batch = torch.rand(1, 3, height, width)
        torch.testing.assert_close(run(batch, batch, profile=profile), 2 * batch)


def test_a_fixed_batch_with_open_height_and_width(run):
    foreign.pointwise(run.path, sizes=(1, 3, "height", "width"))
    profile = {"images": [[1, 3, 2, 2], [1, 3, 2, 2], [1, 3, 8, 8]]}
    batch = torch.rand(1, 3, 6, 4)
    torch.testing.assert_close(run(batch, batch, profile=profile), 2 * batch)


@pytest.mark.parametrize(
    ("output", "arguments", "parts"),
    [
        (torch.zeros(1, 7), {}, ["output scores float32 1×5 cannot be the model's output float32 1×7"]),
        (torch.zeros(1, 5, dtype=torch.int64), {}, ["cannot be the model's output int64 1×5"]),
        ((torch.zeros(1, 5),) * 2, {}, ["0 of 2 outputs can be matched", "-> scores float32 1×5, the"]),
        (torch.zeros(1, 5), {"named": ("gone",)}, ["--engine-outputs gone: the engine has no gone, but scores"]),
    ],
)
def test_what_does_not_fit_is_one_line_with_both_sides(output, arguments, parts, run):
    foreign.linear(run.path)
    with pytest.raises(UserError) as refused:
        run(BATCH, output, **arguments)
    words = str(refused.value)
    assert all(part in words for part in parts) and "\n" not in words
    assert "named" in arguments or "The engine has pixels float32 1×3×2×2 -> scores float32 1×5, the model has" in words


def test_outputs_in_another_order_name_the_option(run):
    foreign.linear(run.path, extra=["aux"])
    with pytest.raises(UserError, match="in the model's order, such as --engine-outputs aux,scores$"):
        run(BATCH, (torch.zeros(1, 5), torch.zeros(1, 12)))


@pytest.mark.parametrize("batch", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 2, dtype=torch.float16)])
def test_an_input_of_another_size_or_type_is_refused(batch, run):
    foreign.linear(run.path)
    with pytest.raises(UserError, match="input pixels float32 1×3×2×2 cannot be the model's input float"):
        run(batch, torch.zeros(1, 5))


def test_an_engine_with_more_inputs_is_refused(run):
    foreign.weighted(run.path)
    with pytest.raises(UserError, match="0 of 1 inputs can be matched"):
        run(torch.ones(1, 4), torch.zeros(1, 4))
    with pytest.raises(UserError, match="it has more inputs"):
        run(torch.ones(1, 4), torch.zeros(1, 4), arguments=("left",))


def test_a_file_that_onnx_runtime_cannot_read_is_one_line(tmp_path):
    path = tmp_path / "team.onnx"
    path.write_bytes(b"no graph")
    options = BuildOptions(engine_form=ports.form(BATCH, torch.zeros(1, 5)))
    with pytest.raises(UserError, match="^ONNX Runtime cannot load .*team.onnx: .*; export it again"):
        load(onnxruntime, path, BATCH, options=options)
