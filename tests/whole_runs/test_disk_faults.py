"""Tests of a disk that becomes read-only in the middle of a run: what needs it fails in one line, the rest goes on."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def sealed(root, run_pytest, tmp_path_factory, once):
    """One run with cache and JSON on that disk. Returns it, the folder, and the JSON from where the run says it is."""
    return once("sealed_disk", lambda: sealed_run(root, run_pytest, tmp_path_factory.mktemp("sealed")))


def sealed_run(root, run_pytest, folder):
    for name in ("disk", "images", "elsewhere"):
        (folder / name).mkdir()
    for name in ("bee_01.jpg", "hen_01.jpg"):
        shutil.copy(root / "images" / name, folder / "images")
    command = [root / "benchmarks", "-p", "no:cacheprovider", "-k", "test_agreement or test_startup"]
    command += ["--model-file", root / "tests" / "model_files" / "faulty_disk.py", "--models", "early,sealing,late"]
    command += ["--twins", "onnxruntime_fp32", "--images", folder / "images"]
    command += ["--engine-dir", folder / "disk" / "engines", "--benchmark-json", folder / "disk" / "out.json"]
    where = {"DISK": str(folder / "disk"), "SEALED": str(folder / "sealed"), "TMPDIR": str(folder / "elsewhere")}
    done = run_pytest(command, environment=where)
    written = [line.rpartition(" ")[2] for line in done.stdout.splitlines() if "; it is in " in line]
    return done, folder, json.loads(open(written[0]).read()) if written else None


def test_what_needs_no_cache_goes_on_and_the_run_fails(sealed):
    """One cause is one failure: the other cases of its model or twin are skipped with the same line."""
    done, _, document = sealed
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr, done.stdout
    ended = {case["nodeid"].split("::test_")[1]: case["outcome"] for case in document["suite"]["cases"]}
    assert ended == {
        "startup[early-eager_fp32]": "passed",
        "startup[early-onnxruntime_fp32]": "passed",
        "agreement[early-onnxruntime_fp32]": "passed",
        "startup[sealing-eager_fp32]": "passed",
        "startup[sealing-onnxruntime_fp32]": "skipped",
        "agreement[sealing-onnxruntime_fp32]": "error",
        "startup[late-eager_fp32]": "error",
        "startup[late-onnxruntime_fp32]": "skipped",
        "agreement[late-onnxruntime_fp32]": "skipped",
    }


def test_each_says_in_one_line_that_the_disk_can_only_be_read(sealed):
    _, folder, document = sealed
    reasons = {case["model"]: case["reason"] for case in document["suite"]["cases"] if case["outcome"] != "passed"}
    refused = f"engine cache {folder / 'disk' / 'engines'} cannot be written (Read-only file system): choose another"
    assert reasons["sealing"].startswith("build of sealing onnxruntime_fp32 failed: OSError: [Errno 30] Read-only file")
    assert reasons["late"].startswith(f"weights of late failed: {refused}")
    assert not [reason for reason in reasons.values() if "\n" in reason]


def test_the_json_is_written_elsewhere_and_says_so(sealed):
    done, folder, document = sealed
    path = folder / "disk" / "out.json"
    assert f"The run could not be written to {path}: Read-only file system; it is in " in done.stdout
    assert [row["model"] for row in document["suite"]["agreement"]] == ["early"] and not path.exists()
    unfinished = json.loads((folder / "disk" / "out.json.unfinished").read_text())
    assert unfinished["suite"]["agreement"] == document["suite"]["agreement"], "as it was when the disk still took it"
