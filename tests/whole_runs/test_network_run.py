"""Tests that a whole run with calibrated weights, or with a folder of them, does not use the network."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.helpers import no_network


@pytest.fixture(scope="module")
def runs(root, run_pytest, tmp_path_factory):
    """A run with calibrated weights, which it saves, and one with the folder of these: (network, suite) of each."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "images").mkdir()
    for name in ("bee_01.jpg", "hen_01.jpg"):
        shutil.copy(root / "images" / name, folder / "images")

    def run(*weights):
        network = folder / f"network_{len(weights)}.json"
        environment = {no_network.REPORT: str(network), "TORCH_HOME": str(folder / "torch")}
        command = [
            root / "benchmarks",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.helpers.no_network",
            "-k",
            "test_agreement",
        ]
        command += [
            "--model-file",
            root / "tests" / "model_files" / "tiny_published.py",
            "--models",
            "shufflenet_v2_x0_5",
        ]
        command += ["--twins", "onnxruntime_fp32", "--weights", *weights, "--images", folder / "images"]
        done = run_pytest(
            [*command, "--engine-dir", folder / "engines", "--benchmark-json", folder / "out.json"],
            environment=environment,
        )
        assert done.returncode == 0, done.stdout
        return [json.loads(path.read_text()) for path in (network, folder / "out.json")]

    return run("calibrated", "--save-weights", folder / "weights"), run(folder / "weights")


@pytest.mark.parametrize("number, recipe", [(0, "calibrated-1"), (1, "folder")])
def test_neither_asks_the_network(runs, number, recipe):
    network, document = runs[number]
    assert network == {"asked": [], "tried": ["there is no network here"] * 2}
    (row,) = document["suite"]["agreement"]
    assert row["ok"] and 0 < row["max_relative_error"] < 3.4e-5
    assert document["suite"]["weights"]["recipe"] == recipe
