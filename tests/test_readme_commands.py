"""Every shell command of README.md is run here as it is typed, or checked as `checked_otherwise` says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from fixtures import backends
from tests.test_documents import blocks, own_options

INLINE = re.compile(r"`((?:pytest|python3?|pip|sudo) [^`]+)`")
MINE = "pytest benchmarks --model-file my_models.py --models mine"
# What PYTEST_ADDOPTS narrows each command to, so that all of them take seconds. The command itself is unchanged.
RUN = {
    "pytest benchmarks --benchmark-json out.json": "--quick -k photographs",
    "pytest benchmarks --quick": "-k photographs",
    MINE: "--benchmark-max-time 0.1",
    "pytest benchmarks --images my_images --models resnet18": "-k photographs",
    f"{MINE} --twins onnxruntime_fp32 --trust-engine mine.onnx": "-k agreement",
    "pytest benchmarks --reference mine.onnx --engine team.onnx": "-k agreement",
    f"{MINE} --benchmark-json base.json": "-k agreement",
    f"{MINE} --benchmark-json new.json --baseline base.json": "-k agreement",
    "python -m fixtures.compare base.json new.json --html report.html": "",
}


def commands(readme):
    """Each command of README: the lines of its shell blocks and the commands in its text, split at `&&`."""
    lines = [line for block in blocks(readme, "sh") for line in block.strip().splitlines()]
    prose = re.sub(r"^```.*?^```", "", readme, flags=re.MULTILINE | re.DOTALL)
    found = lines + INLINE.findall(prose)
    return list(dict.fromkeys(part.strip() for line in found for part in line.split("&&")))


def checked_otherwise(command, root):
    """Whether a command that installs, needs a GPU, or is run by CI is right; None for any other command."""
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:
        files = [words[at + 1] for at, word in enumerate(words) if word == "-r"]
        return bool(files) and all((root / name).is_file() for name in files)
    if words[:3] == ["python3", "-m", "venv"]:
        return words[-1] == ".venv"
    if words[0] == ".":
        return words[1] == ".venv/bin/activate"
    if words[:2] == ["pytest", "tests"]:
        return f"\n{command}\n" in (root / ".ci" / "run").read_text(encoding="utf-8")
    twins = words[words.index("--twins") + 1].split(",") if "--twins" in words else []
    if words[:2] == ["pytest", "benchmarks"] and twins and all("tensorrt" in t or "torch2trt" in t for t in twins):
        return all(twin in backends.TWINS for twin in twins) and {w for w in words if w[:2] == "--"} <= own_options()
    return None


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_every_command_is_run_here_or_checked_otherwise(readme, root):
    found = commands(readme)
    assert [command for command in RUN if command not in found] == [], "README has these no more"
    otherwise = {command: checked_otherwise(command, root) for command in found if command not in RUN}
    assert {command: holds for command, holds in otherwise.items() if not holds} == {}


@pytest.mark.parametrize(
    "command",
    [
        "pip install -r gone.txt",
        "pip install twins",
        "pytest benchmarks --twins tensorrt_fp64",
        "pytest benchmarks --twins tensorrt_fp16 --gone",
        "pytest tests -n 3",
        "pytest benchmarks --quicker",
    ],
)
def test_a_command_that_is_wrong_is_found(command, root):
    assert not checked_otherwise(command, root)


@pytest.fixture(scope="module")
def clone(root, readme, tmp_path_factory):
    """A copy of the repository with the files of README's reader: my_models.py, my_images/ and ONNX files."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("fixtures", "benchmarks"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "validation"))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(root / name, folder)
    (folder / "twins").symlink_to("fixtures")
    (folder / "images").symlink_to(root / "images")
    (folder / "my_images" / "macaw").mkdir(parents=True)
    shutil.copy(root / "images" / "macaw_01.jpg", folder / "my_images" / "macaw")
    (example,) = (block for block in blocks(readme, "python") if "ModelSpec(" in block)
    (folder / "my_models.py").write_text(example, encoding="utf-8")
    return folder


def export_mine(folder):
    """mine.onnx and team.onnx, exported by torch with names that a reader may choose."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    for name, output in (("mine", "logits"), ("team", "scores")):
        names = {"input_names": ["images"], "output_names": [output]}
        torch.onnx.export(module, torch.zeros(1, 3, 32, 32), str(folder / f"{name}.onnx"), dynamo=False, **names)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Of torch's exporter.
def test_the_others_run_as_they_are_typed(clone, run_pytest):
    """In README's order, since a command needs what those before it wrote. pytest's are forked with torch imported."""
    export_mine(clone)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    for command, narrowed in RUN.items():
        words = shlex.split(command)
        if words[0] == "pytest":
            addopts = f"{os.environ.get('PYTEST_ADDOPTS', '')} {narrowed}"
            done = run_pytest(words[1:], cwd=clone, environment={"PYTEST_ADDOPTS": addopts})
        else:
            environment = {**os.environ, "PATH": path}
            done = subprocess.run(["bash", "-ec", command], cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (clone / "report.html").stat().st_size > 10_000
    assert (clone / "out.json").is_file()
