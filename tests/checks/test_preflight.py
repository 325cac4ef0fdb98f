"""Tests of the preflight: outputs are checked against the task, and a model that cannot be judged fails once."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from fixtures.checks.preflight import output_fault
from fixtures.common.errors import ModelFault
from fixtures.models import ModelSpec, model_files

ROW = torch.tensor([[0.1, -0.3, 2.0, 0.5]])
MAP = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "task, output, names, expected",
    [
        ("tensor", ROW > 0, None, "returns output as bool 1×4, which has no error to judge: return the numbers before"),
        (
            "tensor",
            {"y": ROW, "e": ROW[:, :0]},
            None,
            "returns e as float32 1×0, which is empty: leave this output out",
        ),
        ("tensor", {0: ROW}, None, 'a dict with the key 0, a int; use strings as keys, such as "output_0"'),
        ("tensor", {}, None, "the model returns nothing"),
        (
            "tensor",
            ROW.bfloat16(),
            None,
            "returns output as bfloat16 1×4, which NumPy does not support: return .float()",
        ),
        ("tensor", ROW.to_sparse(), None, "which is not a plain tensor"),
        (
            "tensor",
            ROW[0],
            None,
            "returns output as float32 4 for a batch of 1 image: the first axis must be the image",
        ),
        ("tensor", ROW.sum(), None, "returns output as float32 without axes for a batch of 1 image"),
        ("tensor", ROW / 0, None, "with NaN or infinity for the first image: check the weights"),
        ("tensor", SimpleNamespace(logits=ROW), None, "returns a SimpleNamespace as output; return a tensor"),
        ("tensor", (ROW, None), None, "returns a NoneType as output_1"),
        ("classification", ROW.argmax(1), None, "returns output as int64 1; task classification needs logits N×C"),
        ("classification", ROW[:, :1], None, "of 2 classes or more: return torch.cat([torch.zeros_like(y), y], 1)"),
        ("classification", MAP, None, "return .flatten(1) of it if it holds one score per class"),
        ("classification", ROW, ("a", "b", "c"), "4 classes, but class_names has 3: give one name per class"),
        ("segmentation", {"a": MAP}, None, "returns a as float32 1×3×8×8; task segmentation needs logits y N×C×H×W"),
        ("segmentation", ROW, None, "returns output as float32 1×4; task segmentation needs logits"),
        ("segmentation", {"out": MAP[:, :1]}, None, "of 2 classes or more"),
        ("segmentation", {"out": MAP.argmax(1)}, None, "return the scores, without argmax"),
        ("segmentation", {"out": ROW}, None, "return one score per class and pixel"),
        ("detection", {"boxes": ROW}, None, "the head returns boxes; task detection needs cls_logits"),
    ],
)
def test_output_that_cannot_be_judged_is_named_with_a_remedy(task, output, names, expected):
    found = output_fault(task, output, names)
    assert expected in found and "\n" not in found


@pytest.mark.parametrize(
    "task, output, names",
    [
        ("tensor", ROW, None),
        ("tensor", {"a": ROW, "mask": (MAP > 0.5).to(torch.uint8)}, None),
        ("tensor", [ROW.half(), ROW.double(), ROW.argmax(1)], None),
        ("tensor", torch.fft.fft(ROW), None),
        ("tensor", torch.zeros(1, 3), None),
        ("classification", ROW, ("a", "b", "c", "d")),
        ("segmentation", MAP, None),
        ("segmentation", {"out": MAP}, None),
        ("classification", (ROW, ROW.argmax(1)), None),
        ("classification", torch.zeros(1, 10_000), None),
        ("segmentation", {"out": MAP, "aux": MAP}, None),
        ("detection", {"cls_logits": MAP, "bbox_regression": MAP}, None),
    ],
)
def test_output_that_can_be_judged_passes(task, output, names):
    assert output_fault(task, output, names) == ""


@pytest.mark.parametrize("names", [{0: "cat"}, "ab", ("a", 1), None])
def test_class_names_must_be_strings(names):
    with pytest.raises(ModelFault, match="^net: class_names is "):
        model_files.check_spec(ModelSpec("net", class_names=names))


REASONS = {
    "few_names": "few_names: the model returns output as float32 1×4, 4 classes, but class_names has 3",
    "names_by_index": "names_by_index: class_names is a dict; give the names alone",
    "argmax": "argmax: the model returns output as int64 1; task classification needs",
    "own_detector": "own_detector: builder returns a Net; task detection needs one of torchvision's SSDs",
    "bf16": "bf16: the model returns output as bfloat16",
    "short_side": "short_side: images differ in size after preprocess: ",
    "two_arguments": "two_arguments: the model fails on one image, a batch of float32 1×3×16×16 and float32 1×3×16×16 "
    "(TypeError: ",
    "random": "random: preprocess gives other values each time it is called for ",
    "slip": "slip: preprocess fails on every image, first on anemone_fish_01.jpg (AttributeError: module ",
    "raising": "raising: the model fails on one image, a batch of float32 1×3×16×16 (RuntimeError: my own error, at "
    "wrong_models.py:",
    "no_checkpoint": "weights of no_checkpoint failed: the builder of no_checkpoint failed (FileNotFoundError: [Errno "
    "2] No such file or directory: 'no_such_file.pt', at wrong_models.py:",
    "twice": "twice is the name of two models, both in wrong_models.py",
    "other_each_time": "other_each_time: builder returns a different net on each call, with the same weights",
}

# Faults that only show on all images together.
OF_THE_REFERENCE = {
    "zeros": "zeros: the reference is zero everywhere. Use other weights",
    "constant": "constant: the reference hardly depends on the image (by 0): a frozen engine would pass. Use trained",
}


@pytest.fixture(scope="module")
def checked(root, run_pytest, tmp_path_factory, once):
    """One run of every model of wrong_models.py: its output, and the cases by model."""

    def make():
        folder = tmp_path_factory.mktemp("preflight")
        arguments = [
            root / "benchmarks",
            "-p",
            "no:cacheprovider",
            "--twins",
            "onnxruntime_fp32",
            "--benchmark-disable",
        ]
        arguments += ["--model-file", root / "tests" / "model_files" / "wrong_models.py"]
        arguments += [
            "--models",
            ",".join([*REASONS, *OF_THE_REFERENCE, "plain"]),
            "-k",
            "photographs or agreement or top1 or startup",
        ]
        arguments += ["--engine-dir", folder / "engines", "--benchmark-json", folder / "out.json"]
        done = run_pytest(arguments)
        cases = {}
        for case in json.loads((folder / "out.json").read_text())["suite"]["cases"]:
            cases.setdefault(case["model"], []).append(case)
        return done, cases

    return once("preflight", make)


@pytest.mark.parametrize("model", REASONS)
def test_unsuitable_model_fails_once_and_its_other_cases_are_skipped(checked, model):
    done, cases = checked
    failed, *others = cases[model]
    assert failed["outcome"] == "error" and failed["reason"].startswith(REASONS[model])
    assert len(others) >= 3 and {(case["outcome"], case["reason"]) for case in others} == {
        ("skipped", failed["reason"])
    }
    assert "\n" not in failed["reason"] and "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("model", OF_THE_REFERENCE)
def test_useless_reference_fails_once_and_later_cases_are_skipped(checked, model):
    done, cases = checked
    (failed,) = [case for case in cases[model] if case["outcome"] in ("error", "failed")]
    later = cases[model][cases[model].index(failed) + 1 :]
    assert failed["reason"].startswith(OF_THE_REFERENCE[model]) and later
    assert {(case["outcome"], case["reason"]) for case in later} == {("skipped", failed["reason"])}
    assert "\n" not in failed["reason"] and "Traceback" not in done.stdout + done.stderr


def test_the_next_model_runs(checked):
    assert {case["outcome"] for case in checked[1]["plain"]} == {"passed"} and checked[0].returncode == 1
