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
    return [step for job in workflow["jobs"].values() for step in job.get("steps", ())]


def script(workflows, name):
    """The script of the only step of this name."""
    (found,) = [step["run"] for workflow in workflows.values() for step in steps(workflow) if step.get("name") == name]
    return found


def bash(text, folder, environment):
    return subprocess.run(["bash", "-e", "-c", text], cwd=folder, env=environment, capture_output=True, text=True)


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
    for entry in workflows["gpu.yml"]["jobs"]["machine"]["strategy"]["matrix"]["include"]:
        assert "tensorrt_fp32" in entry["twins"].split(",")


def test_they_may_only_read_and_run_no_stranger_on_own_machines(workflows):
    for workflow in workflows.values():
        assert set(workflow["permissions"].values()) == {"read"}
        for step in steps(workflow):
            assert "${{" not in step.get("run", ""), "a value put into a script can be a script; pass it through env"
    machine = workflows["gpu.yml"]["jobs"]["machine"]
    assert "head.repo.full_name == github.repository" in machine["if"]
    assert "!github.event.repository.fork" in machine["if"]


def test_only_the_job_that_comments_may_write_and_it_runs_no_code_of_the_repository(workflows):
    jobs = {name: job for workflow in workflows.values() for name, job in workflow["jobs"].items()}
    writing = {name for name, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writing == {"machine", "comment"}  # The one that calls the other has to hand the right on.
    assert {"measure", "compare", "comment"} <= {name for name, job in jobs.items() if "permissions" in job}
    assert not any("checkout" in step.get("uses", "") for step in jobs["comment"]["steps"])
    assert "python" not in script(workflows, "Comment")


@pytest.mark.parametrize(
    ("results", "code"),
    [("success success", 0), ("success skipped", 1), ("failure skipped", 1), ("success failure", 1)],
)
def test_what_was_not_measured_does_not_pass(workflows, tmp_path, results, code):
    """GitHub counts a skipped job as passed, and a pull request from a fork skips them."""
    gate = workflows["gpu.yml"]["jobs"]["gate"]
    assert gate["if"].startswith("${{ always()") and gate["needs"] == ["build", "machine"]
    environment = {"PATH": "/usr/bin:/bin", "RESULTS": results, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    assert bash(script(workflows, "Gate"), tmp_path, environment).returncode == code


def test_one_gpu_has_one_run_and_waits_for_no_other(workflows):
    jobs = workflows["gpu-machine.yml"]["jobs"]
    assert jobs["measure"]["concurrency"]["group"] == "gpu-machine-${{ inputs.name }}"
    assert jobs["measure"]["concurrency"]["cancel-in-progress"] is False
    assert "vars.GPU_AWAY" in jobs["measure"]["if"] and jobs["compare"]["needs"] == "measure"
    desktop = workflows["gpu.yml"]["jobs"]["machine"]["strategy"]["matrix"]["include"][-1]
    assert desktop["requirements"] == "requirements-tensorrt.txt"


# Leaves a file as pytest would, and fails at the first.
PYTEST = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --benchmark-json ] && echo {} > "$2"; shift; done
[ -e run/2.json ]
"""


@pytest.mark.parametrize(("invocations", "files"), [("1", ["1.json"]), ("3", ["1.json", "2.json", "3.json"])])
def test_a_machine_is_measured_several_times_and_a_failure_of_any_counts(workflows, tmp_path, invocations, files):
    path = path_with(tmp_path, python=PYTEST)
    environment = {"PATH": path, "HOME": str(tmp_path), "TWINS": "tensorrt_fp32", "INVOCATIONS": invocations}
    assert bash(script(workflows, "Measure"), tmp_path, environment).returncode == 1
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == files


def test_the_oldest_supported_set_is_tested(workflows, root):
    """On Python 3.8, with every requirement at its lower bound."""
    job = workflows["tests.yml"]["jobs"]["oldest"]
    scripts = [step.get("run", "") for step in job["steps"]]
    assert "python -m pip install -r requirements.txt -r tests/requirements.txt -c tests/oldest.txt" in scripts
    assert any(script.startswith("python -m pytest tests ") for script in scripts)
    assert [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")] == [
        "3.8"
    ]
    lowest = re.findall(r"^([\w-]+)>=([\d.]+)", (root / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = re.findall(
        r"^([\w-]+)==([\d.]+)$", (root / "tests" / "oldest.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name, _ in pinned] == [name for name, _ in lowest]
    for (name, exact), (_, bound) in zip(pinned, lowest):
        assert exact == bound or exact.startswith(f"{bound}."), name


def test_the_newest_python_is_tested_with_the_newest_of_everything(workflows):
    job = workflows["tests.yml"]["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"][-1] == "3.14"
    assert not any(" -c " in step.get("run", "") for step in job["steps"])


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
  "api repos/o/r/issues/7/comments") cat existing;;
  "api --method") echo "$@" > called; cp body.md written;;
esac
"""


def put(folder, document):
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "1.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "pinned", "expected"),
    [("here", "", 2), ("moved", "", 3), ("failed", "", 2), ("absent", "", None), ("here", "1", 1), ("here", "9", None)],
)
def test_the_base_is_the_pinned_run_or_the_last_that_succeeded_there(workflows, tmp_path, name, pinned, expected):
    """here: run 3 was on another host. moved: no run on this host. failed: run 3 failed there."""
    orin, other = ({"machine_info": {"node": node}} for node in ("orin", "other"))
    for folder, document in {
        "new": orin, "gh/3/run-here": other, "gh/2/run-here": orin, "gh/1/run-here": orin,
        "gh/3/run-moved": other, "gh/2/run-moved": other, "gh/3/run-failed": orin, "gh/2/run-failed": orin,
    }.items():  # fmt: skip
        number = int(folder.split("/")[1]) if "/" in folder else 0
        put(tmp_path / folder, {**document, "id": number})
    for run, names in {3: "here moved", 2: "here moved failed expired", 1: "here"}.items():
        jobs = "".join(f"{name} / measure\n" for name in names.split())
        (tmp_path / f"gh/{run}").mkdir(exist_ok=True)
        (tmp_path / f"gh/{run}/jobs").write_text(jobs + "build\n")
    environment = {"PATH": path_with(tmp_path, gh=GH), "BASE": "main", "NAME": name, "BASE_RUN": pinned}
    done = bash(script(workflows, "The base run"), tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    base = tmp_path / "base" / "run" / "1.json"
    assert (json.loads(base.read_text())["id"] if base.exists() else None) == expected
    assert ("has no run of here" in done.stdout) == (pinned == "9")


def test_different_machines_are_compared_where_that_is_asked_for(workflows):
    workflow = workflows["gpu.yml"]
    assert workflow["on"]["workflow_dispatch"]["inputs"]["allow-different"]["default"] is False
    assert workflow["jobs"]["machine"]["with"]["allow-different"] == "${{ inputs.allow-different || false }}"
    asked = "${{ inputs.allow-different && '--allow-different' || '' }}"
    assert workflows["gpu-machine.yml"]["jobs"]["compare"]["env"]["ALLOW_DIFFERENT"] == asked
    assert " $ALLOW_DIFFERENT --undecided" in script(workflows, "Compare and gate")


CASES = {
    "same": (0, "## ✅ No regression"), "slower": (1, "❌"), "vanished": (1, "No run from this machine"),
    "first": (0, "No base run of this machine"), "other GPU": (2, "⚠️"), "undecided": (1, "❔"),
    "no base for a pull request": (2, "No base run"), "pinned run gone": (2, "No base run"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_gate_of_a_machine(workflows, root, tmp_path, case):
    """Runs the script on the artefacts of two runs."""
    code, words = CASES[case]
    new = {
        "slower": data.slow_down(data.document(seed=1), 1.2, "resnet18", "tensorrt_fp16"),
        "other GPU": data.document(seed=1, gpu="Thor"),
        "undecided": data.slow_down(data.document(seed=1, scatter=0.3), 1.07, "resnet18", "tensorrt_fp16"),
    }.get(case, data.document(seed=1))
    if case != "vanished":
        put(tmp_path / "new", new)
    if case not in ("first", "no base for a pull request", "pinned run gone"):
        put(tmp_path / "base", data.document())
    environment = {"PATH": path_with(tmp_path), "PYTHONPATH": str(root), "NAME": "b", "UNDECIDED": "fail"}
    environment["EVENT"] = "pull_request" if case == "no base for a pull request" else "push"
    environment["BASE_RUN"] = "9" if case == "pinned run gone" else ""
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary")
    done = bash(script(workflows, "Compare and gate"), tmp_path, environment)
    assert done.returncode == code, done.stdout + done.stderr
    summary = (tmp_path / "summary").read_text()
    assert summary.startswith("# b\n") and words in summary
    if case != "vanished":
        assert (tmp_path / "report-b.html").stat().st_size > 10_000


@pytest.mark.parametrize(("existing", "called"), [("", "POST repos/o/r/issues/7/comments"), ("5\n", "comments/5")])
def test_a_machine_has_one_comment_that_is_written_over(workflows, tmp_path, existing, called):
    (tmp_path / "summary.md").write_text("# b\n## ✅ No regression\n")
    (tmp_path / "existing").write_text(existing)
    environment = {"PATH": path_with(tmp_path, gh=GH), "NAME": "b", "NUMBER": "7", "GITHUB_REPOSITORY": "o/r"}
    done = bash(script(workflows, "Comment"), tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert called in (tmp_path / "called").read_text()
    assert (tmp_path / "written").read_text().startswith("<!-- twins on b -->\n# b\n")
