"""Shared by the tests of fixtures/: pytester, and the suite's folder on the path of the runs that it starts."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from filelock import FileLock

from tests.helpers import suite_runs

# Two processes that both compute on every core spin in each other's way, and take many times as long. Set before torch
# comes in; what the tests start inherits it. The runs that they start are no workers of xdist, where pytest-benchmark
# would measure nothing.
IS_WORKER = bool(os.environ.pop("PYTEST_XDIST_WORKER", None))
if IS_WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# CPU only, so that the tests are the same on a machine with a GPU. Before torch looks for one.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["pytester", "tests.doubles.installed"]


def pytest_configure(config):
    """Spares the runs that tests start hypothesis' plugin, which takes most of a second to import.

    Not in xdist's own process, whose workers would go without it too. pytester takes the variable away, so that its
    runs name the plugin themselves. Put back at the end: mutation testing runs pytest several times in one process.
    """
    if IS_WORKER or not config.getoption("numprocesses", None):
        patch = pytest.MonkeyPatch()
        patch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        config.add_cleanup(patch.undo)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """What needs the calibrated zoo first, whole runs from the middle on, short tests after both.

    Of xdist's workers the first begins at the first test and the second at the middle one, and who is through takes
    from the end of what the other has left. So neither waits for what the other makes, or makes it again.
    """
    zoo = [item for item in items if "made" in item.fixturenames]
    runs = [item for item in items if {"once", "run_pytest"} & set(item.fixturenames) and item not in zoo]
    rest = [item for item in items if item not in zoo and item not in runs]
    short = max(len(items) // 2 - len(zoo), 0)
    items[:] = zoo + rest[:short] + runs + rest[short:]


@pytest.fixture(scope="session", autouse=True)
def torch_stays_imported():
    """A run within a test restores sys.modules at its end, and torch's libraries cannot be imported a second time."""
    import torch  # noqa: F401
    import torchvision  # noqa: F401


@pytest.fixture(scope="session")
def testrun_folder(tmp_path_factory) -> Path:
    """A folder of this run that xdist's workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if IS_WORKER else own


@pytest.fixture(scope="session")
def once(testrun_folder) -> Callable[[str, Callable[[], Any]], Any]:
    """once(name, make): what `make` gives, made by the first of xdist's workers to ask and pickled for the others."""

    def value(name: str, make: Callable[[], Any]) -> Any:
        path = testrun_folder / f"{name}.pickle"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
            return pickle.loads(path.read_bytes())

    return value


@pytest.fixture(scope="session")
def run_pytest(root, tmp_path_factory) -> Iterator[suite_runs.Run]:
    """run_pytest(arguments, cwd=…, environment=…): a finished run, see `tests.helpers.suite_runs`."""
    with suite_runs.server(root, tmp_path_factory.mktemp("runs")) as run:
        yield run


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
