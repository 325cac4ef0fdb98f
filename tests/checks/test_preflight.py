"""Tests of the preflight: what a model gives is checked against its task, and what cannot be judged fails once."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from fixtures.checks import preflight
from fixtures.checks.preflight import output_fault
from fixtures.common.errors import ModelFault
from fixtures.models import ModelSpec

ROW = torch.tensor([[0.1, -0.3, 2.0, 0.5]])
MAP = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "task, answer, names, expected",
    [
        ("tensor", ROW > 0, None, "gives output as bool 1×4, which has no error to judge: give the numbers before"),
        ("tensor", {"y": ROW, "e": ROW[:, :0]}, None, "gives e as float32 1×0, which is empty: leave this output out"),
        ("tensor", {0: ROW}, None, 'a dict with the key 0, a int; name its outputs by strings, such as "output_0"'),
        ("tensor", {}, None, "the model gives nothing"),
        ("tensor", ROW.bfloat16(), None, "gives output as bfloat16 1×4, which NumPy does not have: give .float()"),
        ("tensor", ROW.to_sparse(), None, "which is no plain tensor"),
        ("tensor", ROW[0], None, "gives output as float32 4 for a batch of 1 image: let the first axis be the image"),
        ("tensor", ROW.sum(), None, "gives output as float32 without axes for a batch of 1 image"),
        ("tensor", ROW / 0, None, "with NaN or infinity for the first image: check the weights"),
        ("tensor", SimpleNamespace(logits=ROW), None, "gives a SimpleNamespace as output; let it give a tensor"),
        ("tensor", (ROW, None), None, "gives a NoneType as output_1"),
        ("classification", ROW.argmax(1), None, "gives output as int64 1; task classification wants logits N×C"),
        ("classification", ROW[:, :1], None, "of 2 classes or more: give torch.cat([torch.zeros_like(y), y], 1)"),
        ("classification", MAP, None, "give .flatten(1) of it if it holds one score a class"),
        ("classification", ROW, ("a", "b", "c"), "so 4 classes, and class_names has 3: give one name a class"),
        ("segmentation", {"a": MAP}, None, "gives a as float32 1×3×8×8; task segmentation wants logits y N×C×H×W"),
        ("segmentation", ROW, None, "gives output as float32 1×4; task segmentation wants logits"),
        ("segmentation", {"out": MAP[:, :1]}, None, "of 2 classes or more"),
        ("segmentation", {"out": MAP.argmax(1)}, None, "give the scores themselves, without argmax"),
        ("segmentation", {"out": ROW}, None, "give one score a class and pixel"),
        ("detection", {"boxes": ROW}, None, "the head gives boxes; task detection wants cls_logits"),
    ],
)
def test_what_cannot_be_judged_is_named_with_what_to_write(task, answer, names, expected):
    found = output_fault(task, answer, names)
    assert expected in found and "\n" not in found


@pytest.mark.parametrize(
    "task, answer, names",
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
def test_what_can_be_judged_passes(task, answer, names):
    assert output_fault(task, answer, names) == ""


@pytest.mark.parametrize("names", [{0: "cat"}, "ab", ("a", 1), None])
def test_class_names_are_names_in_order(names):
    with pytest.raises(ModelFault, match="^net: class_names is "):
        preflight.check_spec(ModelSpec("net", class_names=names))


REASONS = {
    "few_names": "few_names: the model gives output as float32 1×4, so 4 classes, and class_names has 3",
    "names_by_index": "names_by_index: class_names is a dict; give the names alone",
    "argmax": "argmax: the model gives output as int64 1; task classification wants",
    "own_detector": "own_detector: builder gives a Net; task detection wants one of torchvision's SSDs",
    "bf16": "bf16: the model gives output as bfloat16",
    "short_side": "short_side: images differ in size after preprocess: ",
    "two_arguments": "two_arguments: the model fails on one image, a batch of float32 1×3×16×16 and float32 1×3×16×16 "
    "(TypeError: ",
    "twice": "twice is the name of two models, both in wrong_models.py",
    "other_each_time": "other_each_time: builder gives another net at each call, with the same weights loaded into it",
}

# What only all images together show.
OF_THE_REFERENCE = {
    "zeros": "zeros: the reference is zero everywhere. Use other weights",
    "constant": "constant: the reference hardly depends on the image (by 0): a frozen engine would pass. Use trained",
}


@pytest.fixture(scope="module")
def checked(root, run_pytest, tmp_path_factory, once):
    """One run of every model of wrong_models.py; gives its output and the cases by model."""

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
def test_a_model_that_cannot_be_judged_fails_once_and_its_other_cases_are_skipped_for_the_same_reason(checked, model):
    done, cases = checked
    failed, *others = cases[model]
    assert failed["outcome"] == "error" and failed["reason"].startswith(REASONS[model])
    assert len(others) >= 3 and {(case["outcome"], case["reason"]) for case in others} == {
        ("skipped", failed["reason"])
    }
    assert "\n" not in failed["reason"] and "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("model", OF_THE_REFERENCE)
def test_a_reference_that_proves_nothing_fails_once_and_later_cases_are_skipped_for_it(checked, model):
    done, cases = checked
    (failed,) = [case for case in cases[model] if case["outcome"] in ("error", "failed")]
    later = cases[model][cases[model].index(failed) + 1 :]
    assert failed["reason"].startswith(OF_THE_REFERENCE[model]) and later
    assert {(case["outcome"], case["reason"]) for case in later} == {("skipped", failed["reason"])}
    assert "\n" not in failed["reason"] and "Traceback" not in done.stdout + done.stderr


def test_the_next_model_runs(checked):
    assert {case["outcome"] for case in checked[1]["plain"]} == {"passed"} and checked[0].returncode == 1
