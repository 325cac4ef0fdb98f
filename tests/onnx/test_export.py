"""The exported file: opset, names, constants, weights in it or in a separate file, and ONNX Runtime's outputs."""

from __future__ import annotations

import inspect
import warnings

import numpy
import onnx
import onnxruntime
import pytest
import torch

from fixtures.common.errors import UserError
from fixtures.models import zoo
from fixtures.onnx import export as onnx_export
from fixtures.onnx.export import export

# Float32 sums in another order; 1e-6 to 2e-6 were seen on the zoo.
TOLERANCE = 1e-5


class Small(torch.nn.Module):
    """Convolution, batch norm, drop-out and a product: what the exporter folds, drops and keeps."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.BatchNorm2d(8)
        self.dropout = torch.nn.Dropout(0.5)
        self.last = torch.nn.Linear(8, 5)

    def forward(self, x):
        features = self.dropout(self.norm(self.convolution(x)).relu()).mean((2, 3))
        return self.last(features)


class SeveralOutputs(Small):
    def forward(self, x):
        features = self.norm(self.convolution(x))
        return features, features.relu(), self.last(features.mean((2, 3)))


class EqualBiases(torch.nn.Module):
    """All biases are zero, as after torchvision's own initialisation."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3) for _ in range(4)))
        for layer in self.layers:
            torch.nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.layers(x)


class ComputedWeight(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 3, 3, 3))

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.weight * x.mean())


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """Seeded weights that keep the signal's size, with distinct biases."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
            else:
                parameter.uniform_(0.1, 0.3, generator=generator)
                parameter.add_(0.7 if name.endswith("weight") else 0.0)
    return module.eval()


def batch(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def outputs_of(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x.numpy()})


def assert_close(got, expected):
    __tracebackhide__ = True
    error = numpy.abs(got - expected).max() / numpy.abs(expected).max()
    assert error <= TOLERANCE, f"got an error of {error:.1e} of the largest output, expected at most {TOLERANCE:.0e}"


def graph(path):
    return onnx.load(str(path), load_external_data=False).graph


@pytest.mark.parametrize("name", ["mobilenet_v2", "googlenet"])
def test_model_of_the_zoo(name, tmp_path):
    """Asked about an input other than the one that it was traced with."""
    model, shape = filled(zoo.build_module(zoo.MODELS[name])), (1, 3, 128, 128)
    export(model, batch(*shape), tmp_path / "model.onnx")
    other = torch.rand(shape, generator=torch.Generator().manual_seed(2)) - 0.5
    with torch.no_grad():
        expected, of_example = model(other).numpy(), model(batch(*shape)).numpy()
    assert numpy.abs(expected - of_example).max() > 1e-2 * numpy.abs(expected).max(), "the test's inputs are too alike"
    assert_close(outputs_of(tmp_path / "model.onnx", other)[0], expected)
    assert "BatchNormalization" not in {node.op_type for node in graph(tmp_path / "model.onnx").node}


def test_opset_names_and_shape(tmp_path):
    export(filled(Small()), batch(2, 3, 8, 8), tmp_path / "model.onnx")
    model = onnx.load(str(tmp_path / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["output"]
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [2, 3, 8, 8]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_several_outputs_are_numbered(tmp_path):
    model, x = filled(SeveralOutputs()), batch(1, 3, 8, 8)
    export(model, x, tmp_path / "model.onnx")
    assert [value.name for value in graph(tmp_path / "model.onnx").output] == ["output_0", "output_1", "output_2"]
    with torch.no_grad():
        expected = model(x)
    for got, wanted in zip(outputs_of(tmp_path / "model.onnx", x), expected):
        assert_close(got, wanted.numpy())


def test_exports_in_eval_mode_and_leaves_the_model_in_its_own(tmp_path):
    model, x = filled(Small()).train(), batch(4, 3, 8, 8)
    export(model, x, tmp_path / "model.onnx")
    assert model.training
    with torch.no_grad():
        assert_close(outputs_of(tmp_path / "model.onnx", x)[0], model.eval()(x).numpy())


def test_equal_biases_reach_every_convolution_as_constants(tmp_path):
    model, x = EqualBiases().eval(), batch(1, 3, 12, 12)
    export(model, x, tmp_path / "model.onnx")
    written = graph(tmp_path / "model.onnx")
    constants = {tensor.name for tensor in written.initializer}
    assert [node.op_type for node in written.node] == ["Conv"] * 4
    assert all(name in constants for node in written.node for name in node.input[1:])
    with torch.no_grad():
        assert_close(outputs_of(tmp_path / "model.onnx", x)[0], model(x).numpy())


def test_identities_of_constants_are_resolved_and_others_kept():
    helper = onnx.helper
    made = helper.make_graph(
        [
            helper.make_node("Identity", ["bias"], ["bias_1"]),
            helper.make_node("Identity", ["bias_1"], ["bias_2"]),
            helper.make_node("Conv", ["input", "weight", "bias_2"], ["features"]),
            helper.make_node("Identity", ["features"], ["output"]),
            helper.make_node("Identity", ["bias"], ["constant_output"]),
        ],
        "chain",
        [],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("output", "constant_output")],
        [onnx.numpy_helper.from_array(numpy.ones(shape, "f4"), name) for name, shape in (("bias", 1), ("weight", 9))],
    )
    assert onnx_export._drop_identities(made) == 2
    assert [(node.op_type, list(node.input)) for node in made.node] == [
        ("Conv", ["input", "weight", "bias"]),
        ("Identity", ["features"]),
        ("Identity", ["bias"]),
    ]


def test_weights_beside_the_file(tmp_path):
    model, x = filled(torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.Conv2d(64, 8, 3))), batch(1, 3, 12, 12)
    export(model, x, tmp_path / "model.onnx", weights_inside=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert (tmp_path / "model.onnx").stat().st_size < 4096 < (tmp_path / "model.onnx.data").stat().st_size
    with torch.no_grad():
        assert_close(outputs_of(tmp_path / "model.onnx", x)[0], model(x).numpy())


def test_convolution_with_a_computed_weight_is_refused(tmp_path):
    with pytest.raises(UserError, match="TensorRT's parser refuses: make it a parameter"):
        export(ComputedWeight().eval(), batch(1, 3, 8, 8), tmp_path / "model.onnx")


def test_too_large_a_model_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "LARGEST_MODEL_BYTES", 100)
    with pytest.raises(UserError, match="^Small holds 0.0 GiB of weights, more than the 2 GiB"):
        export(Small(), batch(1, 3, 8, 8), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_another_opset_is_refused(tmp_path, monkeypatch):
    real = torch.onnx.export

    def export_16(*args, opset_version, **options):
        return real(*args, opset_version=16, **options)

    export_16.__signature__ = inspect.signature(real)
    monkeypatch.setattr(torch.onnx, "export", export_16)
    with pytest.raises(UserError, match="wrote opset 16, expected 17"):
        export(Small(), batch(1, 3, 8, 8), tmp_path / "model.onnx")


def test_weights_in_files_of_their_own_are_refused(tmp_path, monkeypatch):
    real = torch.onnx.export

    def splitting(model, args, path, **options):
        real(model, args, path, **options)
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="data", size_threshold=0)

    splitting.__signature__ = inspect.signature(real)
    monkeypatch.setattr(torch.onnx, "export", splitting)
    with pytest.raises(UserError, match="put weights into separate files"):
        export(Small(), batch(1, 3, 8, 8), tmp_path / "model.onnx")


def test_the_exporter_is_quiet_about_itself(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(filled(Small()), batch(1, 3, 8, 8), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


def test_warnings_about_the_model_come_through(tmp_path):
    class Branching(Small):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with pytest.warns(torch.jit.TracerWarning):
        export(filled(Branching()), batch(1, 3, 8, 8), tmp_path / "model.onnx")


@pytest.mark.parametrize("training", [False, True])
def test_a_model_that_returns_a_dict_keeps_its_mode(training, tmp_path):
    class Keyed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))

        def forward(self, pictures):
            return {"map": self.layers(pictures)}

    model = Keyed().train(training)
    export(model, torch.rand(1, 3, 4, 4), tmp_path / "model.onnx")
    assert all(part.training is training for part in model.modules())
