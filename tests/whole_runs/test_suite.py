"""Tests of the whole suite as users run it, on models that build in no time, with injected faults."""

from __future__ import annotations

import json
import os
import shutil

import numpy
import pytest

from tests.documented_keys import missing_keys


@pytest.fixture(scope="module")
def suite(root, run_pytest, testrun_folder, tmp_path_factory):
    """Runs `pytest benchmarks` on the tiny models; gives the finished process and the run's JSON.

    The first of these runs is `faulty`, which finds an empty cache.
    """
    cache = testrun_folder / "tiny_engines"

    def run(models, *arguments):
        out = tmp_path_factory.mktemp("run") / "out.json"
        command = [root / "benchmarks", "-p", "no:cacheprovider"]
        command += ["--model-file", root / "tests" / "model_files" / "tiny_models.py", "--models", models]
        command += ["--twins", "onnxruntime_fp32", "--engine-dir", cache, "--benchmark-max-time", "0.05"]
        done = run_pytest([*command, "--benchmark-json", out, *arguments])
        return done, json.loads(out.read_text()) if out.exists() else None

    run.cache = cache
    return run


@pytest.fixture(scope="module")
def faulty(suite, once):
    """One run with a model that works and three that fail in their workers, the last by hanging."""
    return once("faulty", lambda: suite("tiny,crashing,refused,hanging", "--case-timeout", "6"))


def outcomes(document, model):
    """Outcomes of the model's cases with ONNX Runtime, in the order of the run."""
    return [
        case["outcome"] for case in document["suite"]["cases"] if case["model"] == model and "onnx" in case["nodeid"]
    ]


def test_a_worker_that_fails_costs_its_cases_and_not_the_run(faulty):
    done, document = faulty
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert set(outcomes(document, "tiny")) == {"passed"}
    for model in ("crashing", "refused", "hanging"):
        first, *others = outcomes(document, model)
        assert first == "error" and set(others) == {"skipped"}, f"one cause, one failure: {model}"


@pytest.mark.parametrize(
    "model, reason",
    [
        ("crashing", "build of crashing onnxruntime_fp32 crashed with SIGSEGV"),
        ("refused", "build of refused onnxruntime_fp32 failed: RuntimeError: operator not supported"),
        ("hanging", "build of hanging onnxruntime_fp32 took longer than 6 s and was stopped"),
    ],
)
def test_the_reason_is_shown_and_kept(faulty, model, reason):
    done, document = faulty
    assert reason in done.stdout
    reasons = [
        case["reason"] for case in document["suite"]["cases"] if case["model"] == model and "onnx" in case["nodeid"]
    ]
    assert reasons and all(text.startswith(reason) for text in reasons)


def test_what_was_measured_is_whole(faulty):
    _, document = faulty
    rows = {row["name"]: row["extra_info"] for row in document["benchmarks"]}
    assert set(rows) >= {"test_latency[tiny-onnxruntime_fp32-1]", "test_latency[hanging-eager_fp32-1]"}
    assert list(missing_keys(document)) == []
    (agreement,) = [row for row in document["suite"]["agreement"] if row["model"] == "tiny"]
    assert agreement["ok"] is True and agreement["max_relative_error"] < 2e-5 and agreement["top1_same"] == 50
    assert rows["test_latency[tiny-onnxruntime_fp32-1]"]["build_s"] > 0
    assert rows["test_latency[tiny-onnxruntime_fp32-1]"]["host_run_peak_bytes"] > 0
    for name, row in rows.items():
        if name.startswith("test_end_to_end"):
            blocks = row["blocks_s"]
            assert len(blocks["decode"]) == len(blocks["twin"]) >= 3, name
            assert all(0 < part < whole for part, whole in zip(blocks["decode"], blocks["twin"])), name
    judged = {name: row["realtime"] for name, row in rows.items() if row["model"] == "tiny"}
    assert len(judged) == 4 and set(judged.values()) == {True}, "found end to end before latency is measured"


def test_the_tables_and_the_verdict_name_each_model_and_twin(faulty):
    done, document = faulty
    table, rest = done.stdout.split("= models and twins")[1].split("end-to-end, from image file")
    stages, verdict = rest.split("= verdict =")
    assert "tiny " in stages
    (row,) = [line for line in table.splitlines() if "tiny " in line and "onnxruntime_fp32" in line]
    (mutants,) = [row for row in document["suite"]["mutants"] if row["model"] == "tiny"]
    assert "50/50" in row and mutants["refused"] == mutants["total"] > 9
    left_out = {"two labelled classes permuted", "a labelled class dead", "input not normalised"}
    assert set(mutants["left_out"]) == left_out, "it was trained on no label, and knows no brightness"
    assert " PASS tiny onnxruntime_fp32: " in verdict and " FAIL refused onnxruntime_fp32: " in verdict


@pytest.fixture(scope="module")
def again(faulty, suite, tmp_path_factory, once):
    """The model that works once more, from the cache, at two batch sizes, with its outputs saved."""

    def make():
        outputs = tmp_path_factory.mktemp("outputs") / "outputs.npz"
        done, document = suite("tiny", "--batch-sizes", "1,4", "--save-outputs", outputs)
        assert done.returncode == 0, done.stdout
        with numpy.load(outputs, allow_pickle=False) as arrays:
            return document, dict(arrays)

    return once("again", make)


def test_an_engine_is_built_once(faulty, again):
    startup = [{row["twin"]: row for row in document["suite"]["startup"]} for document in (faulty[1], again[0])]
    assert startup[0]["onnxruntime_fp32"]["build_s"] > 0 and startup[1]["onnxruntime_fp32"]["build_s"] is None
    assert all(row["onnxruntime_fp32"]["load_s"] > 0 for row in startup)


def test_a_failed_build_leaves_nothing_in_the_cache(faulty, suite):
    left = os.listdir(suite.cache)
    assert [name for name in left if name.startswith("tiny-onnxruntime")]
    assert not [name for name in left if name.startswith(("refused-onnx", "crashing-onnx", "hanging-onnx"))], left


def test_other_batch_sizes_have_engines_of_their_own(again):
    rows = {
        (row["extra_info"]["twin"], row["extra_info"]["batch_size"]): row["extra_info"]
        for row in again[0]["benchmarks"]
    }
    assert set(rows) == {(twin, size) for twin in ("eager_fp32", "onnxruntime_fp32") for size in (1, 4)}
    one, four = rows["onnxruntime_fp32", 1], rows["onnxruntime_fp32", 4]
    assert four["throughput_fps"] == pytest.approx(4 / four["latency_p50_s"])
    assert one["build_s"] is None and four["build_s"] > 0


def test_outputs_are_saved_for_each_image(again):
    saved = again[1]
    assert set(saved) == {"photographs", "tiny/eager_fp32/output", "tiny/onnxruntime_fp32/output"}
    assert saved["tiny/eager_fp32/output"].shape == (50, 1000) and len(saved["photographs"]) == 50


@pytest.fixture(scope="module")
def trusting(faulty, suite, once):
    """The working model with an engine from outside, compared with a second build of it."""
    (engine,) = suite.cache.glob("tiny-onnxruntime_fp32-b1-*/artefact.onnx")
    arguments = ("tiny", "--trust-engine", engine, "--build-twice", "-k", "startup or latency")
    return once("trusting", lambda: suite(*arguments))


def test_an_engine_from_outside_is_taken_with_a_warning_and_recorded(trusting):
    done, document = trusting
    assert done.returncode == 0, done.stdout
    assert (
        "artefact.onnx is used unverified, as you asked: an engine is code that runs with your permissions"
        in done.stdout
    )
    trusted = document["suite"]["trusted_engine"]
    assert trusted["file"] == "artefact.onnx" and len(trusted["sha256"]) == 64
    (row,) = [row for row in document["suite"]["startup"] if row["twin"] == "onnxruntime_fp32"]
    assert row["build_s"] is None and row["engine_bytes"] > 0 and row["load_s"] > 0


def test_a_second_build_is_timed_in_turn_with_the_first(trusting):
    done, document = trusting
    rows = {row["extra_info"]["twin"]: row["extra_info"] for row in document["benchmarks"]}
    row = rows["onnxruntime_fp32"]
    low, high = row["rebuilt_ratio_ci95"]
    assert row["rebuilt_build_s"] > 0 and row["rebuilt_latency_p50_s"] > 0
    assert low <= row["rebuilt_ratio"] <= high and 0.2 < row["rebuilt_ratio"] < 5
    assert "rebuilt_ratio" not in rows["eager_fp32"]
    assert "tiny onnxruntime_fp32 built twice: " in done.stdout


def test_an_unreadable_image_is_named_and_the_rest_is_judged(faulty, suite, root, tmp_path):
    for name in ("bee_01.jpg", "hen_01.jpg", "macaw_01.jpg"):
        shutil.copy(root / "images" / name, tmp_path)
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "bee_01.jpg").read_bytes()[:5000])
    done, document = suite("tiny", "--images", str(tmp_path))
    assert done.returncode == 1
    assert "torn.jpg: " in done.stdout and "The other images were judged." in done.stdout
    failed = [case["nodeid"] for case in document["suite"]["cases"] if case["outcome"] == "failed"]
    assert [name.split("::")[1] for name in failed] == ["test_photographs[tiny]"]
    (row,) = document["suite"]["agreement"]
    assert row["top1_total"] == 3
    (skipped,) = {case["reason"] for case in document["suite"]["cases"] if case["outcome"] == "skipped"}
    assert skipped == "the images have no labels"
