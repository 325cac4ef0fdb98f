"""The suite on the files of benchmarks/examples/, including those for other packages if these are installed."""

from __future__ import annotations

import importlib.util
import json

import pytest

EXAMPLES = "benchmarks/examples"


def needs(package):
    """Skips a test if the package is not installed. It is looked up, not imported, because the run imports it."""
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed; pip install {package}")


@pytest.fixture
def run(root, run_pytest, tmp_path):
    """run(*arguments): (the finished run, its JSON) of the checks of outputs, with the twin onnxruntime_fp32."""

    def run(*arguments):
        command = ["benchmarks", *arguments, "--twins", "onnxruntime_fp32", "--engine-dir", tmp_path / "engines"]
        command += ["-k", "agreement or detection or segmentation or sensitivity", "-p", "no:cacheprovider"]
        done = run_pytest([*command, "--benchmark-json", tmp_path / "out.json"], cwd=root)
        assert done.returncode == 0, done.stdout
        return done, json.loads((tmp_path / "out.json").read_text())

    return run


def test_a_detector_with_a_decode_of_its_own_is_matched_box_by_box(run):
    _, document = run("--model-file", f"{EXAMPLES}/own_detector.py", "--models", "own_detector")
    (found,) = document["suite"]["detection"]
    assert found["ok"] and found["boxes"] > 500 and found["with_boxes"] == 50 and found["unmatched"] == 0
    (mutants,) = document["suite"]["mutants"]
    assert mutants["refused"] == mutants["total"] and mutants["total"] >= 14


@needs("transformers")
def test_an_image_model_of_hugging_face(run):
    _, document = run("--model-file", f"{EXAMPLES}/hugging_face.py", "--models", "hugging_face_vit")
    (found,) = document["suite"]["agreement"]
    assert found["ok"] and found["max_relative_error"] < 2e-5


@needs("timm")
def test_timm_s_models_by_pattern(run):
    _, document = run("--models", "timm/test_efficientne?", "--weights", "calibrated")
    (found,) = document["suite"]["agreement"]
    assert found["ok"] and found["model"] == "timm/test_efficientnet"
