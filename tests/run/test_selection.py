"""Patterns in --models: what they match, in which order, and the error if they match nothing."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import pytest

from fixtures.common.errors import UserError
from fixtures.run.selection import expanded, known
from fixtures.run.settings import _known_weights, repeated

AMONG = ("alexnet", "resnet18", "resnet50", "my_resnet")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("resnet*",), ("resnet18", "resnet50")),
        (("*resnet*",), ("resnet18", "resnet50", "my_resnet")),
        (("resnet?0", "resnet*"), ("resnet50", "resnet18")),
        (("resnet[15]*", "alexnet"), ("resnet18", "resnet50", "alexnet")),
        (("unheard_of",), ("unheard_of",)),
    ],
)
def test_a_pattern_is_what_it_matches_each_once(asked, expected):
    assert expanded(asked, AMONG) == expected


def test_a_pattern_that_matches_nothing_names_the_nearest():
    with pytest.raises(UserError, match=r"^--models rsenet\* matches no model: did you mean resnet50 or resnet18"):
        expanded(("rsenet*",), AMONG)


def test_timm_s_families_are_matched_with_all_of_timm(monkeypatch):
    timm = types.ModuleType("timm")
    timm.__spec__ = importlib.machinery.ModuleSpec("timm", None)
    timm.list_models = lambda: ["mobilenetv4_a", "mobilenetv4_b", "resnet18"]
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert expanded(("timm/mobilenetv4*",), AMONG) == ("timm/mobilenetv4_a", "timm/mobilenetv4_b")
    with pytest.raises(UserError, match=r"^--models timm/mobilenet5\* matches no model: did you mean timm/mobilenetv4"):
        expanded(("timm/mobilenet5*",), AMONG)


def test_without_timm_its_family_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="timm is not installed; pip install timm"):
        expanded(("timm/mobilenetv4*",), AMONG)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["benchmarks", "--models", "resnet18", "-k", "latency", "-q"], []),
        (["--model-file", "a b.py", "--model-file=c.py"], ["--model-file", "a b.py", "--model-file=c.py"]),
        (["--images=/data", "--twins", "x", "--weights", "calibrated"], ["--images=/data", "--weights", "calibrated"]),
        (["--tensorrt-replay", "--trust-engine", "m.onnx"], ["--tensorrt-replay", "--trust-engine", "m.onnx"]),
        (["--benchmark-json", "out.json", "--baseline", "b.json"], []),
    ],
)
def test_the_options_that_a_repetition_needs_are_kept_as_they_were_given(words, expected):
    assert repeated(words) == expected


@pytest.mark.parametrize(
    ("kind", "name", "among", "expected"),
    [
        ("model", "ResNet-18", AMONG, "did you mean resnet18"),
        ("twin", "onnxruntime", ("onnxruntime_fp32", "inductor_fp32"), "did you mean onnxruntime_fp32"),
        ("twin", "tensort_FP16", ("tensorrt_fp16", "cpu_fp32"), "did you mean tensorrt_fp16"),
    ],
)
def test_a_mistyped_name_gets_the_nearest_one(kind, name, among, expected):
    with pytest.raises(UserError, match=expected):
        known(kind, (name,), among)


def test_a_mistyped_kind_of_weights_gets_the_nearest_one():
    with pytest.raises(UserError, match="or a folder that exists; did you mean calibrated"):
        _known_weights("calibratd")
    with pytest.raises(UserError, match="or a folder that exists$"):
        _known_weights("/no/such/folder")
