"""Shared by the tests of fixtures/: pytester, and the suite's folder on the path of the runs that it starts."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from filelock import FileLock

from tests import suite_runs

# Two processes that both compute on every core spin in each other's way, and take many times as long. Set before torch
# comes in; what the tests start inherits it. The runs that they start are no workers of xdist, where pytest-benchmark
# would measure nothing.
IS_WORKER = bool(os.environ.pop("PYTEST_XDIST_WORKER", None))
if IS_WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["pytester"]


def pytest_configure(config):
    """Spares the runs that tests start hypothesis' plugin, which takes most of a second to import.

    Not in xdist's own process, whose workers would go without it too. pytester takes the variable away, so that its
    runs name the plugin themselves. Put back at the end: mutation testing runs pytest several times in one process.
    """
    if IS_WORKER or not config.getoption("numprocesses", None):
        patch = pytest.MonkeyPatch()
        patch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        config.add_cleanup(patch.undo)


def pytest_collection_modifyitems(items):
    """The longest file first, so that with xdist nobody waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_calibration.py")


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
    """run_pytest(arguments, cwd=…, environment=…): a finished run, see `tests.suite_runs`."""
    with suite_runs.server(root, tmp_path_factory.mktemp("runs")) as run:
        yield run


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
