"""Whole runs of a tensorrt_rtx twin on the double: start-up figures, and rebuilds that are reported once."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

DRIVER = "DRIVER_OF_THE_DOUBLE"  # Read by the model file, which only a separate run may import.
REFUSED = "is rejected and rebuilt"


@pytest.fixture(scope="module")
def runs(root, run_pytest, tmp_path_factory, once):
    """The same command cold, from the cache, with another driver, and with half-written kernels."""
    return once("rtx_runs", lambda: four_runs(root, run_pytest, tmp_path_factory.mktemp("rtx_runs")))


def four_runs(root, run_pytest, folder):
    (folder / "images").mkdir()
    for name in ("bee_01.jpg", "hen_01.jpg"):
        shutil.copy(root / "images" / name, folder / "images")
    command = [root / "benchmarks", "-p", "no:cacheprovider", "-k", "startup or agreement"]
    command += ["--model-file", root / "tests" / "model_files" / "rtx_on_host.py", "--models", "tiny"]
    command += ["--twins", "tensorrt_rtx_tf32", "--run-device", "cpu"]
    command += ["--images", folder / "images", "--engine-dir", folder / "engines"]

    def run(driver="580"):
        done = run_pytest([*command, "--benchmark-json", folder / "out.json"], environment={DRIVER: driver})
        suite = json.loads((folder / "out.json").read_text())["suite"]
        (start,) = [row for row in suite["startup"] if row["twin"] == "tensorrt_rtx_tf32"]
        return SimpleNamespace(code=done.returncode, text=done.stdout + done.stderr, start=start)

    found = {"cold": run(), "warm": run(), "driver": run("590")}
    (kernels,) = (folder / "engines").glob("tiny-tensorrt_rtx_tf32-*/artefact.kernels")
    kernels.write_bytes(kernels.read_bytes()[:20])
    return {**found, "cut": run("590")}


@pytest.mark.parametrize("name", ["cold", "warm", "driver", "cut"])
def test_every_run_passes(runs, name):
    assert runs[name].code == 0, runs[name].text


def test_building_compiling_and_loading_are_apart(runs):
    cold, warm = runs["cold"].start, runs["warm"].start
    assert 0 < cold["compile_s"] < cold["build_s"] and 0 < cold["engine_build_s"] < cold["build_s"]
    assert all(warm[name] is None for name in ("build_s", "engine_build_s", "compile_s"))
    for start in (cold, warm):
        assert 0 < start["context_s"] <= start["load_s"] and start["first_call_s"] > 0
    assert cold["engine_bytes"] == warm["engine_bytes"] > 0
    assert "start-up of engines, seconds" in runs["cold"].text and "compile" in runs["cold"].text


def test_kernels_of_another_driver_are_rebuilt_and_reported_once(runs):
    assert runs["driver"].text.count("rejects the compiled kernels") == runs["driver"].text.count(REFUSED) == 1
    assert runs["driver"].start["build_s"] > 0


def test_half_written_kernels_are_rebuilt_and_reported_once(runs):
    assert runs["cut"].text.count("its artefact.kernels has 20 bytes") == runs["cut"].text.count(REFUSED) == 1
    assert REFUSED not in runs["warm"].text
