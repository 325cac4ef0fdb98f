"""A run of modules that hold more than tensors, with a helper module for the model file and unreadable images."""

from __future__ import annotations

import json
import shutil

import pytest

BESIDE = """
import torch

def net(linear=torch.nn.Linear):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), linear(768, 4)).eval()

class Extra(torch.nn.Linear):
    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass
"""
FILE = """
import pathlib
import torch
from torchvision import transforms
from fixtures.models import ModelSpec
from nets_beside import Extra, net

program = pathlib.Path(__file__).with_name("net.pt2")
square = transforms.Compose([transforms.Resize([16, 16]), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])

def preprocess(image):
    if image.width == 7:
        raise ValueError("too narrow")
    return square(image)

def quantised():
    return torch.ao.quantization.quantize_dynamic(net(), {torch.nn.Linear}, torch.qint8)

def spec(name, builder):
    return ModelSpec(name, task="tensor", builder=builder, preprocess=preprocess)

MODELS = [
    spec("extra", lambda: net(Extra)),
    spec("program", lambda: torch.export.load(program).module()),
    spec("quantised", quantised),
    spec("lazy", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))),
    spec("nothing", lambda: None),
    ModelSpec("module", task="tensor", builder=net(), preprocess=preprocess),
]
"""


def odd_run(root, run_pytest, folder):
    import torch
    from PIL import Image

    (folder / "nets_beside.py").write_text(BESIDE)
    (folder / "odd.py").write_text(FILE)
    namespace = {}
    exec(BESIDE, namespace)
    shapes = ({0: torch.export.Dim("n", min=1, max=64)},)
    program = torch.export.export(namespace["net"](), (torch.rand(2, 3, 16, 16),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "net.pt2")
    (folder / "images").mkdir()
    for name in ("bee_01", "castle_01", "macaw_01"):
        shutil.copy(root / "images" / f"{name}.jpg", folder / "images")
    Image.new("RGB", (7, 20)).save(folder / "images" / "narrow.png")
    (folder / "images" / "broken.jpg").write_bytes(b"no image")
    arguments = [root / "benchmarks", "-p", "no:cacheprovider", "--twins", "onnxruntime_fp32", "--benchmark-disable"]
    arguments += ["--model-file", folder / "odd.py", "--models", "extra,program,quantised,lazy,nothing,module"]
    arguments += ["--images", folder / "images", "--engine-dir", folder / "engines", "-k", "agreement or startup"]
    done = run_pytest([*arguments, "--benchmark-json", folder / "out.json"])
    return done, json.loads((folder / "out.json").read_text())["suite"]


@pytest.fixture(scope="module")
def odd(root, run_pytest, tmp_path_factory, once):
    """The run, and its suite in the JSON."""
    return once("odd_models", lambda: odd_run(root, run_pytest, tmp_path_factory.mktemp("odd")))


@pytest.mark.parametrize("model", ["extra", "program"])
def test_state_other_than_tensors_and_programs_are_judged(odd, model):
    done, suite = odd
    assert {case["outcome"] for case in suite["cases"] if case["model"] == model} == {"passed"}, done.stdout
    (row,) = [row for row in suite["agreement"] if row["model"] == model]
    assert row["ok"] and row["max_relative_error"] < 1e-5


@pytest.mark.parametrize(
    "model, expected",
    [
        ("quantised", "torch's ONNX exporter does not support this model: "),
        ("lazy", "lazy: 1.weight has no weights yet: in builder, call the lazy module once"),
        ("nothing", "nothing: builder returns None; it must return a torch.nn.Module"),
        ("module", "module: builder is a module; pass a function that builds it: lambda: Sequential(…)"),
    ],
)
def test_what_cannot_be_taken_fails_once_in_one_line(odd, model, expected):
    failed = [case for case in odd[1]["cases"] if case["model"] == model and case["outcome"] in ("error", "failed")]
    assert len(failed) == 1 and expected in failed[0]["reason"] and "\n" not in failed[0]["reason"]
    assert "Traceback" not in odd[0].stdout + odd[0].stderr


def test_images_left_out_are_named_though_no_test_of_images_was_selected(odd):
    done, suite = odd
    reasons = {row["image"]: row["reason"] for row in suite["left_out_images"]}
    assert reasons["narrow.png"] == "preprocessing fails on it (ValueError: too narrow, at odd.py:13)"
    assert reasons["broken.jpg"].startswith("not a JPEG, PNG, WebP, BMP or TIFF image")
    for name in reasons:
        assert done.stdout.count(f"image left out: {name}: ") == 1
