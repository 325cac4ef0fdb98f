"""One run of models that change their input or depend on their batch: each gets the right verdict."""

from __future__ import annotations

import json

import pytest

CHECKS = "agreement or startup or end_to_end or repeatability"


@pytest.fixture(scope="module")
def suite(root, run_pytest, tmp_path_factory, once):
    """`suite` of the run's JSON."""

    def make():
        folder = tmp_path_factory.mktemp("awkward")
        command = ["benchmarks", "-q", "-p", "no:cacheprovider", "-k", CHECKS, "--benchmark-disable"]
        command += ["--model-file", str(root / "tests" / "model_files" / "awkward_models.py")]
        command += ["--models", "inplace,branch,range,mask,plain", "--twins", "onnxruntime_fp32"]
        command += ["--engine-dir", str(folder), "--benchmark-json", str(folder / "out.json")]
        run_pytest(command)
        return json.loads((folder / "out.json").read_text())["suite"]

    return once("awkward_models", make)


def test_only_the_frozen_branch_fails(suite):
    failed = {(case["model"], case["twin"]) for case in suite["cases"] if case["outcome"] != "passed"}
    assert failed <= {("branch", "onnxruntime_fp32")}
    assert {row["model"]: row["ok"] for row in suite["agreement"]} == {
        "inplace": True, "branch": False, "range": True, "mask": True, "plain": True,
    }  # fmt: skip


def test_what_is_odd_about_a_model_is_recorded(suite):
    rows = {row["model"]: row for row in suite["reference"]}
    assert [name for name, row in rows.items() if row["changes_input"]] == ["inplace"]
    assert [name for name, row in rows.items() if row["batch_dependent"]] == ["branch", "range"]
    notes = {row["model"]: row["notes"] for row in suite["agreement"]}
    assert "TracerWarning" in notes["branch"][-1] and "awkward_models.py" in notes["branch"][-1]
    assert notes["mask"] == notes["plain"] == []
