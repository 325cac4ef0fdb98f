"""The workflows of .github: valid, and none lets a machine without its twins pass."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests import compare_data as data


@pytest.fixture(scope="module")
def workflows(root):
    paths = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert paths
    return {path.name: YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in paths}


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


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


@pytest.mark.parametrize(
    ("case", "code"), [("same", 0), ("slower", 1), ("vanished", 1), ("first", 0), ("other GPU", 2)]
)
def test_the_gate_of_the_gpu_workflow(workflows, root, tmp_path, case, code):
    """Runs the script of its last step on the artefacts of two runs, a machine that stayed the same beside one."""
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
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(root)}
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    summary = (tmp_path / "summary").read_text()
    assert "# a\n## ✅ No regression" in summary
    words = {"same": "No regression", "slower": "❌", "vanished": "No run", "first": "One run", "other GPU": "⚠️"}
    assert words[case] in summary.split("# b\n")[1]
    if case != "vanished":
        assert (tmp_path / "report-run-b.html").stat().st_size > 10_000
