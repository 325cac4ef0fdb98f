"""An ONNX file as the model: what is assumed about it, and what is refused in one line."""

from __future__ import annotations

import numpy
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from fixtures.common.errors import UserError
from fixtures.models import onnx_file, zoo
from fixtures.models.from_onnx.files import OPEN_SIZE, OnnxReference, Preprocess, described, spec_of
from tests.helpers import foreign

PIXEL = (255, 0, 127)


def write(path, sizes, scores=(1, 5), dtype=TensorProto.FLOAT, inputs=1):
    """A file with `inputs` inputs of these sizes, which need not be used, and one output of the sizes `scores`."""
    ports = [helper.make_tensor_value_info(f"in_{place}", dtype, list(sizes)) for place in range(inputs)]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, list(scores))
    shape = helper.make_tensor("value", TensorProto.FLOAT, list(scores), [0.0] * int(numpy.prod(scores)))
    graph = helper.make_graph([helper.make_node("Constant", [], ["scores"], value=shape)], "some", ports, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("sizes", "asked", "size", "last"),
    [
        ((1, 3, 32, 48), None, (32, 48), False),
        (("batch", 3, 32, 48), None, (32, 48), False),
        (("batch", 3, "height", "width"), None, OPEN_SIZE, False),
        (("batch", 3, "height", "width"), (64, 96), (64, 96), False),
        ((1, 3, 32, "width"), None, (32, OPEN_SIZE[1]), False),
        ((1, 32, 48, 3), None, (32, 48), True),
        ((1, 3, 3, 3), None, (3, 3), False),
    ],
)
def test_the_size_is_the_file_s_or_the_user_s(sizes, asked, size, last, tmp_path):
    spec = spec_of(OnnxReference(write(tmp_path / "net.onnx", sizes), size=asked))
    assert (spec.preprocess.size, spec.preprocess.channels_last) == (size, last)
    image = Image.new("RGB", (100, 70), PIXEL)
    assert tuple(spec.preprocess(image).shape) == ((*size, 3) if last else (3, *size))


@pytest.mark.parametrize(
    ("scores", "asked", "task"),
    [
        ((1, 5), None, "classification"),
        ((1, 5), "tensor", "tensor"),
        ((1, 1), None, "tensor"),
        ((1, 84, 100), None, "tensor"),
        ((1, 5, 8, 8), "segmentation", "segmentation"),
    ],
)
def test_the_task_follows_the_first_output(scores, asked, task, tmp_path):
    spec = spec_of(OnnxReference(write(tmp_path / "net.onnx", (1, 3, 8, 8), scores), task=asked))
    assert spec.task == task
    assert described(spec) == f"{task}, images 8×8, pixels imagenet"


@pytest.mark.parametrize(("classes", "named"), [(1000, True), (1001, False), (5, False)])
def test_a_thousand_classes_are_imagenet_s(classes, named, tmp_path):
    spec = spec_of(OnnxReference(write(tmp_path / "net.onnx", (1, 3, 8, 8), (1, classes))))
    assert (zoo.categories(spec) is not None) == named


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ("0..1", (1.0, 0.0, 0.498)),
        ("-1..1", (1.0, -1.0, -0.004)),
        ("0..255", (255.0, 0.0, 127.0)),
        ("imagenet", (2.249, -2.036, 0.409)),
    ],
)
def test_pixels_are_in_the_range_that_was_asked_for(pixels, expected):
    found = Preprocess((4, 4), pixels, False)(Image.new("RGB", (9, 5), PIXEL))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 0, 0], torch.tensor(expected), atol=1e-3, rtol=0)


def test_the_centre_is_kept_whole():
    image = Image.new("RGB", (300, 100), "white")
    image.paste("black", (0, 0, 100, 100))
    image.paste("black", (200, 0, 300, 100))
    found = Preprocess((50, 50), "0..1", False)(image)
    assert float(found[:, :, 5:45].min()) > 0.99, "only the white middle is left"


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ({"sizes": (8, 3, 8, 8)}, ["takes 8 images a call (in_0 float32 8×3×8×8)", "a batch of 1 or a dynamic one"]),
        ({"sizes": (1, 1, 8, 8)}, ["takes in_0 float32 1×1×8×8, but an image is N×3×H×W or N×H×W×3", "model file"]),
        ({"sizes": (1, 12)}, ["takes in_0 float32 1×12, but an image is"]),
        ({"sizes": (1, 3, 8, 8), "inputs": 2}, ["takes in_0 float32 1×3×8×8, in_1 float32", "fills one input"]),
        ({"sizes": (1, 3, 8, 8), "inputs": 0}, ["takes nothing, but an image fills one input"]),
        ({"sizes": (1, 3, 8, 8), "dtype": TensorProto.FLOAT16}, ["in_0 float16", "images are given in float32"]),
        ({"sizes": (1, 3, 8, 8), "dtype": TensorProto.UINT8}, ["in_0 uint8", "images are given in float32"]),
    ],
)
def test_a_file_that_images_do_not_fit_is_refused_with_what_it_takes(file, parts, tmp_path):
    with pytest.raises(UserError) as refused:
        spec_of(OnnxReference(write(tmp_path / "net.onnx", **file)))
    words = str(refused.value)
    assert all(part in words for part in parts) and "net.onnx" in words and "\n" not in words


def test_a_size_that_the_file_does_not_take_is_refused(tmp_path):
    path = write(tmp_path / "net.onnx", (1, 3, 8, "width"))
    assert spec_of(OnnxReference(path, size=(8, 64))).preprocess.size == (8, 64)
    with pytest.raises(UserError, match="^--reference-size 9x64: .*net.onnx takes in_0 float32 1×3×8×"):
        spec_of(OnnxReference(path, size=(9, 64)))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.onnx", None, "no such file; check the path"),
        ("torn.onnx", b"no graph", "is not an ONNX file"),
        ("team.engine", b"\x00" * 500, "is not an ONNX file"),
        ("empty.onnx", b"", "the graph has no output"),
        ("folder", "folder", "is a folder; name the ONNX file"),
    ],
)
def test_no_onnx_file_is_one_line(name, content, words, tmp_path):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        spec_of(OnnxReference(path))
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "name"),
    [("resnet18.onnx", "resnet18.onnx"), ("my net (v2).onnx", "my_net_v2_.onnx"), ("ñandú.onnx", "and_.onnx")],
)
def test_the_model_is_called_like_the_file(file, name, tmp_path):
    spec = spec_of(OnnxReference(write(tmp_path / file, (1, 3, 8, 8))))
    assert spec.name == name and zoo.NAME.fullmatch(spec.name)


def test_the_module_gives_what_the_file_gives(tmp_path):
    weights = foreign.linear(tmp_path / "one.onnx", batch="batch")
    module = zoo.build_module(zoo.ModelSpec("one", builder=onnx_file(str(tmp_path / "one.onnx")), preprocess=len))
    batch = torch.arange(24.0).reshape(2, 3, 2, 2)
    torch.testing.assert_close(module(batch), batch.flatten(1) @ torch.from_numpy(weights))
    assert (module.graph_inputs, module.graph_outputs) == (("pixels",), ("scores",))
    foreign.linear(tmp_path / "two.onnx", extra=["features"])
    outputs = onnx_file(str(tmp_path / "two.onnx"))()(batch[:1])
    assert list(outputs) == ["features", "scores"] and outputs["features"].tolist() == batch[:1].flatten(1).tolist()
    foreign.weighted(tmp_path / "three.onnx")
    assert onnx_file(str(tmp_path / "three.onnx"))()(torch.ones(1, 4), torch.ones(1, 4)).tolist() == [[3.0] * 4]


def test_the_file_s_content_is_its_weights(tmp_path):
    foreign.linear(tmp_path / "one.onnx")
    foreign.linear(tmp_path / "two.onnx", classes=6)
    one, again, two = (onnx_file(str(tmp_path / f"{name}.onnx"))() for name in ("one", "one", "two"))
    assert one.state_dict() == again.state_dict() != two.state_dict()
    assert list(one.parameters()) == []


def test_a_builder_without_its_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"gone.onnx: no such file \(relative to .*\); check the path"):
        onnx_file(str(tmp_path / "gone.onnx"))()
    (tmp_path / "torn.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match="^ONNX Runtime cannot load .*torn.onnx: .*; export it again"):
        onnx_file(str(tmp_path / "torn.onnx"))()
