"""Tests of the facts about a user's model code: they change if the network changes with equal weights, else not.

Each project is written into a folder and its model is built in a worker, as in a run, because what Python has imported
counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fixtures.models import own_code
from fixtures.run import process, worker
from fixtures.run.worker import weights_of

MODEL_FILE = """
import torch
from torchvision import transforms as T
from fixtures.models import ModelSpec
{imports}
def build():
    torch.manual_seed(0)
    {build}
MINE = ModelSpec("mine", task="tensor", builder=build, preprocess=T.ToTensor())
"""
NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.settings = settings
    def forward(self, x):
        {forward}
"""
RELU, TANH = (NET.format(forward=f"return torch.{name}(self.layer(x))") for name in ("relu", "tanh"))


def work(folder, files, path=""):
    """(digest of the weights, code) of the model `mine` in a project with these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    file = process.run(
        in_project, str(folder), path, folder / "my_models.py", folder / "cache", title="weights", timeout_s=60
    )
    own = [name for name in file.code["sources"] if not name.startswith(Path(__file__).name)]  # It holds the task.
    return file.digest, {**file.code, "sources": own}


def in_project(folder, path, model_file, cache):
    sys.path[:0] = [folder, *filter(None, [path])]
    return worker.prepared((model_file,), None, weights_of, "mine", None, cache)


PLAIN = {"my_models.py": MODEL_FILE.format(imports="from mynet import Net", build="return Net()"), "mynet.py": RELU}
PACKAGE = {
    "my_models.py": MODEL_FILE.format(imports="from nets.wide import Net", build="return Net()"),
    "nets/__init__.py": "",
    "nets/wide.py": "from .parts.activation import activate\n" + NET.format(forward="return activate(self.layer(x))"),
    "nets/parts/__init__.py": "",
    "nets/parts/activation.py": "from torch import relu as activate",
}
WITHIN_BUILD = {
    "my_models.py": MODEL_FILE.format(imports="", build="from mynet import Net; return Net()"),
    "mynet.py": RELU,
}
WITHIN_FORWARD = {
    "my_models.py": MODEL_FILE.format(imports="from mynet import Net", build="return Net()"),
    "mynet.py": NET.format(forward="from activation import activate; return activate(self.layer(x))"),
    "activation.py": "from torch import relu as activate",
}
DYNAMIC = {
    "my_models.py": MODEL_FILE.format(
        imports="import importlib", build="return importlib.import_module('my' + 'net').Net()"
    ),
    "mynet.py": RELU,
}
NOT_IN_MODULES = {
    "my_models.py": MODEL_FILE.format(
        imports="import pathlib, runpy",
        build="return runpy.run_path(str(pathlib.Path(__file__).with_name('hub.py')))['Net']()",
    ),
    "hub.py": RELU,
}
DEFAULTS = {
    "my_models.py": MODEL_FILE.format(imports="from mynet import Net", build="return Net()"),
    "mynet.py": RELU.replace("**settings", "slope=0.1, **settings"),
}
DATA = {
    "my_models.py": MODEL_FILE.format(
        imports="import json, pathlib\nfrom mynet import Net",
        build="return Net(**json.loads(pathlib.Path(__file__).with_name('net.json').read_text()))",
    ),
    "mynet.py": NET.format(forward="return getattr(torch, self.settings['act'])(self.layer(x))"),
    "net.json": '{"act": "relu"}',
}
OTHER_ACTIVATION = "from torch import tanh as activate"
CHANGES = {
    "a module beside the model file": (PLAIN, {"mynet.py": TANH}),
    "a package, through a relative import": (
        PACKAGE,
        {"nets/parts/activation.py": OTHER_ACTIVATION},
    ),
    "an import within build": (WITHIN_BUILD, {"mynet.py": TANH}),
    "an import within forward": (WITHIN_FORWARD, {"activation.py": OTHER_ACTIVATION}),
    "a module imported by a computed name": (DYNAMIC, {"mynet.py": TANH}),
    "a file that is run": (NOT_IN_MODULES, {"hub.py": TANH}),
    "defaults of a function": (DEFAULTS, {"mynet.py": DEFAULTS["mynet.py"].replace("0.1", "0.2")}),
    "a data file that build reads a setting from": (DATA, {"net.json": '{"act": "tanh"}'}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_with_the_same_weights_is_detected(change, tmp_path):
    before, changed = CHANGES[change]
    first = work(tmp_path, before)
    assert work(tmp_path, {}) == first, "an unchanged project is the same, run after run"
    second = work(tmp_path, changed)
    assert second[0] == first[0], "the weights are the same"
    assert second[1] != first[1]


def test_a_data_file_of_weights_changes_their_digest(tmp_path):
    build = "net = Net(); net.layer.bias.data.fill_(float(open(__file__[:-12] + 'bias.txt').read())); return net"
    files = {
        "my_models.py": MODEL_FILE.format(imports="from mynet import Net", build=build), "mynet.py": RELU,
        "bias.txt": "1",
    }  # fmt: skip
    first = work(tmp_path, files)
    second = work(tmp_path, {"bias.txt": "2"})
    assert second[0] != first[0]


def test_a_file_that_nothing_imports_does_not_count(tmp_path):
    first = work(tmp_path, {**PLAIN, "train.py": "steps = 1", "notes.txt": "a"})
    assert work(tmp_path, {"train.py": "steps = 2", "notes.txt": "b"}) == first


def test_a_project_that_moved_keeps_its_engine(tmp_path):
    assert work(tmp_path / "one", PLAIN) == work(tmp_path / "two", PLAIN)


INSTALLED = "site-packages/somenets-{version}.dist-info"


@pytest.mark.parametrize(
    "changed",
    [{"version": "1.1"}, {"record": "somenets/__init__.py,sha256=b,9"}],
    ids=["another version", "the same version installed again"],
)
@pytest.mark.parametrize("imports", ["from somenets import Net", "import importlib"])
def test_installed_packages_count_by_version_and_not_by_source(changed, imports, tmp_path):
    def built(version="1.0", record="somenets/__init__.py,sha256=a,9"):
        folder = tmp_path / f"{version}{record[-3]}"
        place = INSTALLED.format(version=version)
        files = {
            "my_models.py": MODEL_FILE.format(
                imports=imports, build="return __import__('importlib').import_module('somenets').Net()"
            ),
            "site-packages/somenets/__init__.py": RELU,
            f"{place}/METADATA": f"Metadata-Version: 2.1\nName: somenets\nVersion: {version}\n",
            f"{place}/RECORD": record,
        }
        return work(folder, files, str(folder / "site-packages"))

    first, second = built(), built(**changed)
    assert first[1]["packages"]["somenets"].startswith("1.0 ")
    assert first[1]["sources"] == second[1]["sources"] and len(first[1]["sources"]) == 1
    assert first[1]["packages"] != second[1]["packages"]


def test_a_packages_version_is_found_by_its_import_name():
    assert own_code.package("yaml" if "yaml" in sys.modules else "pytest") != "None"
    assert own_code.package("no_such_package") == "None"
    assert own_code.package("PIL").split()[0] == __import__("PIL").__version__ or sys.version_info < (3, 10)


def test_the_suites_own_code_and_pythons_do_not_count(tmp_path):
    _, code = work(tmp_path, PLAIN)
    assert [name.split()[0] for name in code["sources"]] == ["my_models.py", "mynet.py"]
    assert Path(own_code.__file__).name not in " ".join(code["sources"])
    assert set(code["packages"]) <= {"pytest"}, "which this file imports"
