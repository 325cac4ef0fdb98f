"""The workflows of .github are valid, and a machine without its twins never passes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.helpers import compare_data as data


@pytest.fixture(scope="module")
def workflows(root):
    paths = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert paths
    return {path.name: YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in paths}


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def path_with(folder, **programs):
    """A PATH on which `python` is this interpreter, with the given programs."""
    (folder / "bin").mkdir()
    for name, text in {"python": f'#!/bin/sh\nexec {sys.executable} "$@"\n', **programs}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return f"{folder / 'bin'}:/usr/bin:/bin"


def test_they_are_valid(root):
    paths = [str(path) for path in (root / ".github" / "workflows").glob("*.yml")]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_run_of_the_suite_names_its_twins(workflows):
    runs = [
        step["run"] for workflow in workflows.values() for step in steps(workflow) if "pytest benchmarks" in str(step)
    ]
    assert runs
    assert all("--twins " in run and "--junitxml " in run and "--benchmark-json " in run for run in runs)
    for entry in workflows["gpu.yml"]["jobs"]["measure"]["strategy"]["matrix"]["include"]:
        assert "tensorrt_fp32" in entry["twins"].split(",")


def test_they_may_only_read_and_run_no_stranger_on_own_machines(workflows):
    for workflow in workflows.values():
        assert set(workflow["permissions"].values()) == {"read"}
        for step in steps(workflow):
            assert "${{" not in step.get("run", ""), "a value put into a script can be a script; pass it through env"
    measure = workflows["gpu.yml"]["jobs"]["measure"]
    assert "head.repo.full_name == github.repository" in measure["if"]
    assert "!github.event.repository.fork" in measure["if"]


def test_actions_are_named_by_commit(workflows):
    used = [step["uses"] for workflow in workflows.values() for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used), used


# A stand-in for GitHub's command line. Run 3 is the newest; its jobs are in a file, its artefacts in folders.
GH = """#!/bin/sh
case "$1 $2" in
  "run list") echo 3; echo 2; echo 1;;
  "run view") cat "gh/$3/jobs";;
  "run download") cp -r "gh/$3/$5" "$7";;
esac
"""


def test_the_base_of_each_machine_is_its_last_run_that_succeeded_there(workflows, tmp_path):
    (script,) = [step["run"] for step in steps(workflows["gpu.yml"]) if "gh run list" in step.get("run", "")]
    here, gone = "run-here", "run-gone"
    orin, other = ({"machine_info": {"node": node}} for node in ("orin", "other"))
    artefacts = {
        "new/run-here": orin, "new/run-moved": orin, "new/run-first": orin, "new/run-failed": orin,
        f"gh/3/{here}": other, f"gh/2/{here}": {**orin, "id": 2}, f"gh/1/{here}": {**orin, "id": 1},
        "gh/3/run-moved": {**other, "id": 3}, "gh/2/run-moved": {**other, "id": 2},
        "gh/3/run-failed": {**orin, "id": 3}, "gh/2/run-failed": {**orin, "id": 2},
        f"gh/3/{gone}": other, "gh/2/run-retired": other,
    }  # fmt: skip
    for folder, document in artefacts.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").write_text(json.dumps(document))
    for run, names in {3: "here moved gone", 2: "here moved failed retired expired", 1: "here"}.items():
        jobs = "".join(f"measure ({name})\n" for name in names.split())
        (tmp_path / f"gh/{run}/jobs").write_text(jobs + "compare\n")
    environment = {"PATH": path_with(tmp_path, gh=GH), "BASE": "main"}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "base").glob("*/run.json")}
    assert (
        found.pop(gone) == other
    )  # It was in the newest run, so it is missing. A machine that was retired earlier is not.
    assert found == {here: {**orin, "id": 2}, "run-moved": {**other, "id": 3}, "run-failed": {**orin, "id": 2}}


def test_different_machines_are_compared_where_that_is_asked_for(workflows):
    workflow = workflows["gpu.yml"]
    assert workflow["on"]["workflow_dispatch"]["inputs"]["allow-different"]["default"] is False
    asked = "${{ inputs.allow-different && '--allow-different' || '' }}"
    assert workflow["jobs"]["compare"]["env"]["ALLOW_DIFFERENT"] == asked
    (script,) = [step["run"] for step in steps(workflow) if step.get("name") == "Compare and gate"]
    assert " $ALLOW_DIFFERENT --markdown" in script


@pytest.mark.parametrize(
    ("case", "code"), [("same", 0), ("slower", 1), ("vanished", 1), ("first", 0), ("other GPU", 2)]
)
def test_the_gate_of_the_gpu_workflow(workflows, root, tmp_path, case, code):
    """Runs the script of the last step on artefacts of two runs: one machine that stayed the same, one that changes."""
    (script,) = [step["run"] for step in steps(workflows["gpu.yml"]) if step.get("name") == "Compare and gate"]
    new = {
        "slower": data.slow_down(data.document(seed=1), 1.2, "resnet18", "tensorrt_fp16"),
        "other GPU": data.document(seed=1, gpu="Thor"),
    }.get(case, data.document(seed=1))
    artefacts = {"base/run-a": data.document(), "new/run-a": data.document(seed=2)}
    artefacts.update({"base/run-b": data.document(), "new/run-b": new})
    artefacts.pop({"vanished": "new/run-b", "first": "base/run-b"}.get(case), None)
    for folder in ("base", "new"):
        (tmp_path / folder).mkdir()
    for folder, document in artefacts.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "run.json").write_text(json.dumps(document))
    environment = {"PATH": path_with(tmp_path), "PYTHONPATH": str(root)}
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    summary = (tmp_path / "summary").read_text()
    assert "# a\n## ✅ No regression" in summary
    words = {"same": "No regression", "slower": "❌", "vanished": "No run", "first": "One run", "other GPU": "⚠️"}
    assert words[case] in summary.split("# b\n")[1]
    if case != "vanished":
        assert (tmp_path / "report-run-b.html").stat().st_size > 10_000
