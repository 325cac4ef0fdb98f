"""Tests with the real TensorRT for RTX, whose builder and parser need no GPU. Nothing can be run here."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.backends import tensorrt_rtx
from fixtures.common.build_options import BuildOptions, BuildRequest
from fixtures.common.errors import UserError
from fixtures.models import zoo
from fixtures.models.cores import core
from fixtures.onnx import export as onnx_export
from tests.doubles import tensorrt_double
from tests.doubles.small import image_batch, load, small_model
from tests.tensorrt import contract

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: no wheel for this platform or Python")


def written(folder, model=None, precision="tf32", example=None, **options):
    """(file of the engine of a model, layers of its network)."""
    path, example = folder / "artefact.engine", image_batch() if example is None else example
    request = BuildRequest(model or small_model(), example, precision, path, None, BuildOptions(**options))
    return path, tensorrt_rtx.build_engine(request)


def seeded(name):
    """The core of a model of the zoo on random weights with which activations stay in range.

    The two models with linear layers of 4096 get 64 there, which spares half a gigabyte each.
    """
    torch.manual_seed(0)
    spec = zoo.MODELS[name]
    module = zoo.build_module(spec)
    for parent in list(module.modules()):
        for child, layer in parent.named_children():
            if isinstance(layer, nn.Linear) and 4096 in (layer.in_features, layer.out_features):
                sizes = [64 if size == 4096 else size for size in (layer.in_features, layer.out_features)]
                setattr(parent, child, nn.Linear(*sizes))
    for parameter, tensor in module.state_dict().items():
        if tensor.dim() > 1:
            nn.init.kaiming_normal_(tensor)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.02).add_(0 if parameter.endswith(("bias", "mean")) else 1)
    return core(spec, module)


# Bytes of an engine beside its weights: up to 3.8 million were seen, with 1.7.1.
MOST_BESIDE_WEIGHTS = 8_000_000
SIZES = {"inception_v3": 299, "ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


@pytest.mark.parametrize("name", list(zoo.MODELS))
def test_every_model_of_the_zoo_is_parsed_and_built_in_every_precision(name, tmp_path):
    model, example = seeded(name), image_batch(size=SIZES.get(name, 224))
    weights = sum(parameter.numel() for parameter in model.parameters())
    sizes = {}
    for precision in tensorrt_rtx.PRECISIONS:
        path, layers = written(tmp_path, model, precision, example)
        assert layers > 20
        sizes[precision] = path.stat().st_size
    assert 0 < sizes["tf32"] - 4 * weights < MOST_BESIDE_WEIGHTS, "float32 weights take four bytes each"
    assert 0 < sizes["fp16"] - 2 * weights < MOST_BESIDE_WEIGHTS, "float16 ones take two"


def test_the_installed_release_has_every_name_that_the_suite_uses_and_the_double_has_no_other():
    assert contract.missing(trt) == [] and contract.callbacks_work(trt)
    if trt.__version__ in tensorrt_double.RTX_VERSIONS:
        assert contract.offered_by_the_double_alone(trt, trt.__version__) == []


def test_a_node_that_the_parser_refuses_is_named(tmp_path, monkeypatch):
    import onnx

    export = onnx_export.export

    def with_a_strange_node(model, example, path, **options):
        export(model, example, path, **options)
        exported = onnx.load(str(path))
        node = exported.graph.node[1]
        node.domain, node.op_type, node.name = "my", "Odd", "/1/Odd"
        onnx.save(exported, str(path))

    monkeypatch.setattr(onnx_export, "export", with_a_strange_node)
    with pytest.raises(UserError) as error:
        written(tmp_path)
    assert str(error.value).startswith(
        f"TensorRT for RTX {trt.__version__} cannot read the model: node 1 (Odd /1/Odd): "
    )
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_engines_are_built_for_the_gpus_asked_for(tmp_path):
    one, two = (
        written(tmp_path, compute_capabilities=names)[0].read_bytes() for names in (("sm86",), ("sm86", "sm120"))
    )
    assert one != two
    with pytest.raises(
        UserError, match=f"^TensorRT for RTX {trt.__version__} cannot build for sm90; choose from sm75, "
    ):
        written(tmp_path, compute_capabilities=("sm90",))


def test_turing_takes_float16_alone_and_says_so(tmp_path):
    written(tmp_path, precision="fp16", compute_capabilities=("sm75",))
    with pytest.raises(UserError, match=r"cannot build an engine in tf32: .*Turing \(SM75\)"):
        written(tmp_path, compute_capabilities=("sm75",))


def test_a_batch_profile_and_a_workspace_are_taken(tmp_path):
    assert written(tmp_path, example=image_batch(2), batch_profile=(1, 2, 4), workspace_bytes=2**24)[1] > 5


@pytest.mark.parametrize("precision", tensorrt_rtx.PRECISIONS)
def test_an_engine_of_open_height_and_width_is_built(tmp_path, precision):
    sizes = ((128, 128), (256, 256), (384, 512))
    model = seeded("lraspp_mobilenet_v3_large")
    path, layers = written(tmp_path, model, precision, image_batch(size=256), sizes=sizes)
    assert layers > 100 and path.stat().st_size > 10**6


def test_progress_is_reported_by_the_real_builder(tmp_path, monkeypatch):
    from fixtures.tensorrt import builder

    monkeypatch.setattr(builder, "REPORT_EVERY_S", 0.0)
    lines = []
    written(tmp_path, report=lines.append)
    assert lines and all(": step " in line for line in lines)


def test_loading_without_a_driver_is_one_line_that_asks_for_no_new_build(tmp_path):
    path, _ = written(tmp_path)
    with pytest.raises(UserError, match="^TensorRT for RTX .* cannot load the engine: .*[Dd]river|no CUDA") as error:
        load(tensorrt_rtx, path, image_batch(), "tf32")
    assert "\n" not in str(error.value)
