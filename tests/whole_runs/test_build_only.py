"""Whole runs with --build-only: the real TensorRT for RTX builds engines without a GPU, and nothing is run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: no wheel for this platform or Python")

MODELS = '''
import torch
from fixtures.models import ModelSpec
from tests.model_files.tiny_models import Tiny, small


class Determinant(torch.nn.Module):
    """ONNX has its operator, TensorRT has not."""

    def forward(self, batch):
        return torch.linalg.det(batch)


MODELS = [
    ModelSpec("tiny", builder=Tiny, preprocess=small),
    ModelSpec("determinant", builder=Determinant, preprocess=small),
]
'''


@pytest.fixture(scope="module")
def run(run_pytest, tmp_path_factory, once):
    """Both models built for two GPUs."""
    return once("build_only", lambda: finished(run_pytest, tmp_path_factory.mktemp("build")))


def finished(run_pytest, folder):
    (folder / "models.py").write_text(MODELS)
    done = run_pytest(
        [
            "benchmarks",
            "-p",
            "no:cacheprovider",
            "--build-only",
            "--build-for",
            "sm86,SM89",
            "--models",
            "tiny,determinant",
        ]
        + ["--model-file", folder / "models.py", "--engine-dir", folder / "engines"]
        + ["--benchmark-json", folder / "out.json"]
    )
    left = sorted(path.suffix for path in (folder / "engines").rglob("*") if path.is_file())
    return SimpleNamespace(done=done, suite=json.loads((folder / "out.json").read_text())["suite"], left=left)


def test_engines_are_built_and_their_figures_recorded(run):
    rows = {row["twin"]: row for row in run.suite["builds"]}
    assert set(rows) == {"tensorrt_rtx_tf32", "tensorrt_rtx_fp16"}
    for row in rows.values():
        assert row["model"] == "tiny" and row["built_for"] == ["sm86", "sm89"]
        assert row["engine_bytes"] > 10_000 and row["network_layers"] >= 5 and row["host_build_peak_bytes"] > 0
        assert 0 < row["export_s"] + row["engine_build_s"] <= row["build_s"]


def test_nothing_is_run_or_left_and_the_table_says_so(run):
    assert "builds only: nothing was run" in run.done.stdout and "sm86, sm89" in run.done.stdout
    assert not any(run.suite[section] for section in ("startup", "agreement", "throughput", "mutants"))
    assert ".engine" not in run.left and ".kernels" not in run.left
    assert {case["nodeid"].partition("[")[0] for case in run.suite["cases"]} == {"benchmarks/test_build.py::test_build"}


def test_a_model_that_the_parser_refuses_fails_by_the_name_of_its_node(run):
    assert run.done.returncode == 1
    failed = [case for case in run.suite["cases"] if case["outcome"] != "passed"]
    assert {case["model"] for case in failed} == {"determinant"} and len(failed) == 2
    assert all("cannot read the model: node " in case["reason"] and "(Det " in case["reason"] for case in failed)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--build-only", "--twins", "onnxruntime_fp32"), "--build-only cannot build onnxruntime_fp32, which needs"),
        (
            ("--build-only", "--twins", "tensorrt_rtx_int8"),
            "--twins tensorrt_rtx_int8 is not offered: TensorRT for RTX quantises",
        ),
        (
            ("--twins", "tensorrt_rtx_fp32"),
            "--twins tensorrt_rtx_fp32 is not offered: TensorRT for RTX computes float32",
        ),
        (
            ("--build-only", "--build-for", "8.6"),
            "--build-for '8.6' must be comma-separated compute capabilities, e.g.",
        ),
        (("--twins", "tensorrt_rtx_bf16"), "--twins tensorrt_rtx_bf16 is not offered: convolutions of ONNX opset 17"),
        (("--build-for", "sm86"), "--build-for sm86 is for --build-only"),
    ],
)
def test_wrong_input_is_one_line(arguments, expected, run_pytest, tmp_path):
    done = run_pytest(["benchmarks", "-p", "no:cacheprovider", "--engine-dir", tmp_path, *arguments])
    assert done.returncode == 4 and expected in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
