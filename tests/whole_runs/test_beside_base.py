"""Whole runs with --beside-engines: engines of two runs take turns, and compare judges them only by that."""

from __future__ import annotations

import json
import shutil

import pytest

BESIDE = ["test_latency_beside_base.py", "test_end_to_end_beside_base.py"]
CASE = ("four_classes", "onnxruntime_fp32")


@pytest.fixture(scope="module")
def run(root, run_pytest, tmp_path_factory):
    """run(tests, engine folder, *options): a run of a small model of the user's; the process and the document."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "images").mkdir()
    for name in ("macaw_01", "castle_01", "dam_02"):
        shutil.copy(root / "images" / f"{name}.jpg", folder / "images")

    def start(tests, engines, *options):
        command = [*(str(root / "benchmarks" / test) for test in tests), "--engine-dir", str(folder / engines)]
        command += ["--model-file", str(root / "benchmarks" / "examples" / "own_models.py"), "--images"]
        command += [str(folder / "images"), "--models", CASE[0], "--twins", CASE[1], "--benchmark-max-time", "0.02"]
        options = [str(folder / option) if option in ("base", "new", "images") else option for option in options]
        path = folder / "out.json"
        path.unlink(missing_ok=True)
        done = run_pytest([*command, *options, "--benchmark-json", str(path)])
        return done, json.loads(path.read_text()) if path.exists() else None

    return start


def test_engines_of_two_runs_take_turns(run):
    base, _ = run(["test_startup.py"], "base")
    assert base.returncode == 0, base.stdout
    done, document = run(["test_startup.py", *BESIDE], "new", "--beside-engines", "base")
    assert done.returncode == 0, done.stdout
    for section, keys in (("beside_base", 4), ("end_to_end_beside_base", 2)):
        (row,) = document["suite"][section]
        assert (row["model"], row["twin"]) == CASE
        sides = [row[key] for key in ("twin_blocks_s", "base_blocks_s")]
        assert len(sides[0]) == len(sides[1]) >= 3 and min(map(min, sides)) > 0
        assert len(row) == 3 + keys


def test_a_folder_without_the_engine_is_one_line(run):
    base, _ = run(["test_startup.py"], "base")
    assert base.returncode == 0, base.stdout
    done, _ = run(BESIDE, "base", "--beside-engines", "images")
    assert done.returncode == 1, done.stdout
    assert "four_classes onnxruntime_fp32: no engine of it for this machine and software; name the" in done.stdout


def test_without_the_option_nothing_is_collected(run):
    done, _ = run(BESIDE, "base")
    assert done.returncode == 5 and "no tests ran" in done.stdout


def test_a_folder_that_is_not_there_is_refused_at_once(run):
    done, _ = run(BESIDE, "base", "--beside-engines", "absent")
    assert done.returncode == 4
    assert "--beside-engines 'absent' is not a folder" in done.stdout + done.stderr
