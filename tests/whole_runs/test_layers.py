"""Whole runs with --layers on the double of TensorRT for RTX, ONNX Runtime and eager: table, JSON, cache."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.documented_keys import OPTIONAL_ROWS

TWINS = ("eager_fp32", "tensorrt_rtx_tf32", "onnxruntime_fp32")


@pytest.fixture(scope="module")
def run(root, run_pytest, tmp_path_factory, once):
    """(finished process, suite of its JSON, names in the engine folder)."""
    return once("layers_run", lambda: one_run(root, run_pytest, tmp_path_factory.mktemp("layers")))


def one_run(root, run_pytest, folder):
    (folder / "images").mkdir()
    for name in ("bee_01.jpg", "hen_01.jpg"):
        shutil.copy(root / "images" / name, folder / "images")
    command = [root / "benchmarks", "-p", "no:cacheprovider", "-k", "layers", "--layers", "--batch-sizes", "1,2"]
    command += ["--model-file", root / "tests" / "model_files" / "rtx_on_host.py", "--models", "tiny"]
    command += ["--twins", ",".join(TWINS[1:]), "--run-device", "cpu", "--images", folder / "images"]
    command += ["--engine-dir", folder / "engines", "--benchmark-json", folder / "out.json"]
    done = run_pytest(command, environment={"COLUMNS": "80"})
    engines = sorted(path.name for path in (folder / "engines").iterdir())
    return done, json.loads((folder / "out.json").read_text())["suite"], engines


def test_every_twin_and_batch_size_has_its_layers(run):
    done, suite, _ = run
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted((row["twin"], row["batch_size"]) for row in suite["layers"]) == [
        (twin, size) for twin in ("eager_fp32", "onnxruntime_fp32", "tensorrt_rtx_tf32") for size in (1, 2)
    ]
    for row in suite["layers"]:
        assert set(OPTIONAL_ROWS["layers"]) == set(row)
        assert {"convolution", "classifier"} <= {module for layer in row["layers"] for module in layer["modules"]}
        assert row["whole_is"] == "latency_p50_s" and row["whole_s"] > 0


def test_the_precision_is_recorded(run):
    found = {row["twin"]: {layer["precision"] for layer in row["layers"]} for row in run[1]["layers"]}
    assert found["eager_fp32"] == found["onnxruntime_fp32"] == {"fp32"}
    assert found["tensorrt_rtx_tf32"] == {"tf32", "fp32"}


def test_the_table_is_printed_within_the_width(run):
    text = run[0].stdout
    start = text.index("layers, slowest first")
    table = text[start : text.index("verdict", start)].splitlines()[1:-1]
    assert len(table) > 6 and max(map(len, (line for line in table if "layers are" not in line))) <= 80


def test_no_diagnostic_engine_enters_the_cache(run):
    engines = [name for name in run[2] if name.startswith(("tiny-onnx", "tiny-tensorrt"))]
    assert len(engines) == 4, "one for each twin and batch size"
    assert not any(word in name for name in run[2] for word in ("layers", "detailed", "optimised", "profile"))


def test_without_the_option_the_test_does_not_exist(root, run_pytest):
    done = run_pytest([root / "benchmarks", "-p", "no:cacheprovider", "--collect-only", "-q", "--quick",
                       "--twins", "onnxruntime_fp32", "--engine-dir", "/nonexistent-is-not-made/x"])  # fmt: skip
    assert "test_layers" not in done.stdout
