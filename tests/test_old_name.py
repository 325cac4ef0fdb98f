"""`fixtures`, the folder's name, gives in a clone the same modules as `twins`; another package of that name is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAME = """
import fixtures.models, twins.models
from fixtures.models.zoo import ModelSpec
from twins.models import zoo
assert fixtures.models is twins.models and ModelSpec is zoo.ModelSpec is fixtures.models.ModelSpec
assert zoo.__spec__.name == zoo.__name__ == "twins.models.zoo" and ModelSpec.__module__ == "twins.models.zoo"
"""
BESIDE_ANOTHER = """
import sys
sys.path.insert(0, sys.argv[1])
import fixtures
from twins import old_name
old_name.install()
old_name.install()
from fixtures.callmany import CallMany
from fixtures._fixtures.environ import EnvironmentVariable
from fixtures.models import ModelSpec
from twins import models
assert fixtures.Fixture and ModelSpec is models.ModelSpec
try:
    import fixtures.absent
except ModuleNotFoundError as error:
    assert error.name == "fixtures.absent"
"""


def python(root, *arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=root, capture_output=True, text=True)


def test_a_class_is_the_same_under_both_names(root):
    done = python(root, "-W", "error", "-c", SAME)
    assert done.returncode == 0, done.stderr


def test_another_package_of_that_name_stays_and_ours_is_found_beside_it(root, tmp_path):
    (tmp_path / "fixtures" / "_fixtures").mkdir(parents=True)
    (tmp_path / "fixtures" / "_fixtures" / "environ.py").write_text("class EnvironmentVariable: pass")
    (tmp_path / "fixtures" / "__init__.py").write_text("class Fixture: pass")
    (tmp_path / "fixtures" / "callmany.py").write_text("class CallMany: pass")
    done = python(root, "-c", BESIDE_ANOTHER, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["compare", "predictions"])
@pytest.mark.parametrize("package", ["fixtures", "twins"])
def test_commands_run_under_both_names(root, package, module):
    done = python(root, "-W", "error", "-m", f"{package}.{module}", "--help")
    assert done.returncode == 0 and f"usage: python -m twins.{module}" in done.stdout, done.stderr
