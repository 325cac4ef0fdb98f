"""One run of models that change their input or depend on their batch: each gets the right verdict."""

from __future__ import annotations

import json

import pytest

CHECKS = "agreement or startup or end_to_end or repeatability"


@pytest.fixture(scope="module")
def suites(root, run_pytest, tmp_path_factory, once):
    """`suite` of the run's JSON, and that of a second run with the engine of the frozen branch in the cache."""

    def make():
        folder = tmp_path_factory.mktemp("awkward")

        def suite(models, checks):
            command = ["benchmarks", "-q", "-p", "no:cacheprovider", "-k", checks, "--benchmark-disable"]
            command += ["--model-file", str(root / "tests" / "model_files" / "awkward_models.py")]
            command += ["--models", models, "--twins", "onnxruntime_fp32"]
            command += ["--engine-dir", str(folder), "--benchmark-json", str(folder / "out.json")]
            run_pytest(command)
            return json.loads((folder / "out.json").read_text())["suite"]

        return suite("inplace,branch,range,mask,plain", CHECKS), suite(
            "branch,twice", "agreement or sensitivity or startup"
        )

    return once("awkward_models", make)


@pytest.fixture(scope="module")
def suite(suites):
    return suites[0]


def test_an_engine_from_the_cache_brings_the_warnings_of_its_build(suites):
    start = next(row for row in suites[1]["startup"] if row["twin"] == "onnxruntime_fp32")
    agreement = next(row for row in suites[1]["agreement"] if row["model"] == "branch")
    assert start["build_s"] is None and agreement["notes"] == [
        note for row in suites[0]["agreement"] if row["model"] == "branch" for note in row["notes"]
    ]
    assert any("TracerWarning" in note for note in agreement["notes"])


def test_mutants_of_a_twin_that_fails_itself_are_skipped_with_the_test_to_see(suites):
    outcomes = {case["nodeid"].split("::")[1]: case for case in suites[1]["cases"]}
    assert outcomes["test_agreement[twice-onnxruntime_fp32]"]["outcome"] == "failed"
    skipped = outcomes["test_sensitivity[twice-onnxruntime_fp32]"]
    assert skipped["outcome"] == "skipped" and skipped["reason"].endswith("fails itself; see test_agreement")


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
