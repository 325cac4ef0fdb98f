"""Agreement: its report in the terminal and in the JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from fixtures.common.jsonable import json_safe
from fixtures.judge.agreement import Agreement, Element, agree
from fixtures.judge.remedies import remedy
from fixtures.judge.verdict import assert_verdict
from tests.judge.test_agreement import ACTUAL, NAMES, REFERENCE, within


def test_the_report_says_got_expected_tolerance_where_and_the_remedy_last():
    report = agree(ACTUAL, REFERENCE, within(1 / 16, 0.9), NAMES).report("resnet18 tensorrt_fp16")
    assert report.splitlines() == [
        "resnet18 tensorrt_fp16: output does not agree: error 0.125 is above 0.0625",
        "  got        cosine 0.948683, error 0.125 (mean 0.0312), largest change of a probability 0.243",
        "  expected   cosine at least 0.9, error at most 0.0625",
        "  tolerance  fp16: by hand",
        "             errors are shares of the reference's largest value, 8; smallest tolerance that passes: 0.125",
        "  where      dog.jpg [2]: got 1, expected 2, error 0.125",
        "             cat.jpg [1]: got 2.5, expected 2, error 0.0625",
        "             cat.jpg [0]: got 4, expected 4, error 0",
        "             cat.jpg [2]: got -8, expected -8, error 0",
        "             dog.jpg [0]: got 1, expected 1, error 0",
        "  mismatch   16.6667% of the elements, 0 not finite",
        "Check whether the fp32 twin agrees: if so, keep the worst layers in fp32; if not, fix that twin first.",
    ]


def test_the_report_says_what_agrees_and_what_no_tolerance_mends():
    found = agree(REFERENCE, REFERENCE, within(1e-3, 0.9), NAMES).report("x").splitlines()
    assert found[:2] == ["x: output agrees", found[1]] and found[1].startswith(
        "  got        cosine 1, error 0 (mean 0)"
    )
    assert found[-1] == "  mismatch   0.0000% of the elements, 0 not finite"
    actual = REFERENCE.copy()
    actual[0, 0] = math.nan
    lines = agree(actual, REFERENCE, within(1e-3, 0.9), NAMES).report("x").splitlines()
    assert lines[1] == "  got        cosine nan, error inf (mean inf)"
    assert lines[4].endswith("smallest tolerance that passes: none")


def test_every_reason_is_given():
    found = agree(-REFERENCE, REFERENCE, within(1e-3, 0.9), NAMES)
    assert found.reason == "cosine -1 is below 0.9; error 2 is above 0.001"


@pytest.mark.parametrize(
    "precision, device, error, cosine, non_finite, expected",
    [
        ("fp32", "cuda:0", 1e-3, 0.99999, 0, "TF32 off"),
        ("fp32", "cpu", 1e-3, 0.99999, 0, "compare layer by layer"),
        ("fp32", "cuda:0", 0.2, 0.95, 0, "More than rounding"),
        ("fp32", "cpu", 1.3, 0.0003, 0, "No rounding explains"),
        ("int8", "cpu", 1.3, 0.0003, 0, "No rounding explains"),
        ("fp32", "cuda:0", math.inf, math.nan, 3, "overflows or divides by zero"),
        ("fp16", "cuda:0", math.inf, math.nan, 3, "fp16 overflows above 65504"),
        ("tf32", "cuda:0", 0.1, 0.99, 0, "fp32 twin agrees"),
        ("int8", "cpu", 0.6, 0.83, 0, "fp32 twin agrees"),
    ],
)
def test_the_remedy_fits_precision_device_and_error(precision, device, error, cosine, non_finite, expected):
    found = remedy(precision, device, error, cosine, non_finite)
    assert expected in found and "\n" not in found
    assert ("TF32 off" in found) == (expected == "TF32 off")


def test_the_remedy_knows_the_device_and_is_empty_where_nothing_failed():
    fp32 = replace(within(1e-3), precision="fp32")
    actual = REFERENCE + 0.01 * (REFERENCE == 2)
    assert "TF32" in agree(actual, REFERENCE, replace(fp32, relative_error=1e-4), NAMES, "cuda:0").remedy
    assert "TF32" not in agree(actual, REFERENCE, replace(fp32, relative_error=1e-4), NAMES).remedy
    assert agree(ACTUAL, REFERENCE, within(0.5), NAMES).remedy == ""


def test_the_dictionary_is_safe_for_json():
    actual = REFERENCE.copy()
    actual[0, 2] = -math.inf
    found = agree(actual, REFERENCE, within(0.25, 0.5), NAMES).as_dict()
    json.dumps(found, allow_nan=False)
    assert found == {
        "ok": False, "reason": "1 values are not finite", "scale": 8.0, "output": "",
        "max_relative_error": None, "mean_relative_error": None, "cosine": None,
        "max_probability_change": None, "smallest_passing_tolerance": None, "mismatch_fraction": 1 / 6,
        "non_finite": 1, "notes": [], "tolerance": 0.25, "cosine_limit": 0.5, "precision_note": "",
        "where": {"photograph": "cat.jpg", "index": [2], "got": None, "expected": -8.0, "error": None},
    }  # fmt: skip
    refused = agree(actual[:1], REFERENCE, within(0.25), NAMES).as_dict()
    json.dumps(refused, allow_nan=False)
    assert refused["where"] is None
    assert json_safe({"a": (1.5, math.nan, [math.inf])}) == {"a": [1.5, None, [None]]}


def test_notes_come_before_the_remedy_and_a_warning_of_the_exporter_changes_it():
    warned = "TracerWarning: Converting a tensor to a Python boolean (at model.py:16)"
    wrong = agree(ACTUAL, REFERENCE, within(1 / 16), NAMES)
    assert wrong.noted(["a note"]).report("x").splitlines()[-2:] == ["  note       a note", wrong.remedy]
    *_, note, remedy = wrong.noted(["a note", warned]).report("x").splitlines()
    assert note == f"  note       {warned}" and "torch.where" in remedy
    right = agree(REFERENCE, REFERENCE, within(1 / 16), NAMES).noted([warned])
    assert right and right.remedy == "" and right.as_dict()["notes"] == [warned]
    other = agree(ACTUAL[:1], REFERENCE, within(1 / 16), NAMES)
    assert other.noted([warned]).remedy == other.remedy, "a wrong shape is not the exporter's constant"


@pytest.mark.parametrize("kind", [Agreement, Element])
def test_verdicts_cannot_be_changed(kind):
    assert kind.__dataclass_params__.frozen


def test_the_verdict_fails_a_test_with_its_report():
    assert_verdict(agree(ACTUAL, REFERENCE, within(0.5), NAMES), "good")
    with pytest.raises(AssertionError, match="^bad: output does not agree"):
        assert_verdict(agree(ACTUAL, REFERENCE, within(0.01), NAMES), "bad")
