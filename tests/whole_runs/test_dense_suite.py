"""Detectors and segmenters in the whole suite, as users run it: a correct twin, and one that sees shifted images."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

MODELS = ("tiny_detector", "shifted", "tiny_segmenter")


@pytest.fixture(scope="module")
def ran(root, run_pytest, tmp_path_factory):
    """Only numbers, boxes and masks, on eight images, each with its drawing."""
    folder = tmp_path_factory.mktemp("dense")
    (folder / "images").mkdir()
    for path in sorted((root / "images").glob("*.jpg"))[::8]:
        shutil.copy(path, folder / "images")
    command = ["-p", "no:cacheprovider", "--models", ",".join(MODELS)]
    command += [root / "benchmarks" / f"test_{name}.py" for name in ("agreement", "detection", "segmentation")]
    command += ["--model-file", str(root / "tests" / "model_files" / "tiny_dense.py"), "--twins", "onnxruntime_fp32"]
    command += ["--images", str(folder / "images"), "--engine-dir", str(folder / "engines")]
    command += ["--save-detections", str(folder / "pictures"), "--benchmark-json", str(folder / "out.json")]
    done = run_pytest(command)
    return folder, done, json.loads((folder / "out.json").read_text())["suite"]


def test_a_shifted_twin_fails_alone_and_names_its_picture(ran):
    folder, done, suite = ran
    outcomes = {case["nodeid"].split("::")[1]: case["outcome"] for case in suite["cases"]}
    assert outcomes == {
        "test_agreement[tiny_detector-onnxruntime_fp32]": "passed",
        "test_agreement[shifted-onnxruntime_fp32]": "failed",
        "test_agreement[tiny_segmenter-onnxruntime_fp32]": "passed",
        "test_detection[tiny_detector-onnxruntime_fp32]": "passed",
        "test_detection[shifted-onnxruntime_fp32]": "failed",
        "test_segmentation[tiny_segmenter-onnxruntime_fp32]": "passed",
    }, done.stdout
    rows = {row["model"]: row for row in suite["detection"]}
    right, shifted = rows["tiny_detector"], rows["shifted"]
    assert right["ok"] and right["matched"] == right["boxes"] > 20
    assert not shifted["ok"] and shifted["unmatched"] > 0
    (numbers,) = (row for row in suite["agreement"] if row["model"] == "shifted")
    for check, worst in (("boxes do", shifted["worst"]), (f"{numbers['output']} does", numbers["where"]["photograph"])):
        named = folder / "pictures" / "shifted-onnxruntime_fp32" / f"{worst}.png"
        assert f"(drawing: {named}, eager on the left): {check} not agree" in done.stdout and named.is_file()


def test_every_image_has_its_picture(ran):
    folder = ran[0] / "pictures"
    found = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert found == {f"{name}-onnxruntime_fp32": 8 for name in MODELS}
    with Image.open(folder / "tiny_segmenter-onnxruntime_fp32" / "african_chameleon_01.jpg.png") as picture:
        assert picture.size == (128, 64)
