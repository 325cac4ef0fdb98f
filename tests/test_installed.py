"""The suite installed, as a wheel and as an editable install, used from a stranger's repository and in a clone."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.test_documents import blocks
from twins.plugins import options
from twins.pytest_twins import PATHS

# What PyPI's package of this name looks like to Python.
OTHER_FIXTURES = {"fixtures/__init__.py": "class Fixture: pass\n", "fixtures/callmany.py": "class CallMany: pass\n"}
# A plugin that has two names of the suite's options, as pytest-html has --html.
OTHER_PLUGIN = """
def pytest_addoption(parser):
    parser.addoption("--images", help="of another plugin")
    parser.addoption("--pick", dest="models", help="of another plugin")

def pytest_report_header(config):
    return f"other: {config.getoption('--images')} {config.getoption('--pick')}"
"""
OTHER_TEST = """

def test_the_other_fixtures():
    import fixtures
    from fixtures.callmany import CallMany
    assert fixtures.Fixture
"""
MINE = ("--model-file=my_models.py", "--models=mine", "--twins=onnxruntime_fp32")


@pytest.fixture(scope="module")
def source(root, tmp_path_factory):
    """A clone of the repository without its tests, in which a build may leave files."""
    folder = tmp_path_factory.mktemp("source") / "clone"
    folder.mkdir()
    for name in ("fixtures", "benchmarks", "images"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "validation"))
    for name in ("conftest.py", "pytest.ini", "pyproject.toml", "requirements.txt", "README.md"):
        shutil.copy(root / name, folder)
    (folder / "twins").symlink_to("fixtures")
    return folder


@pytest.fixture(scope="module")
def environment(source, tmp_path_factory):
    """environment(kind): the interpreter of one with the suite and another package `fixtures`, on top of this one."""

    @functools.lru_cache(maxsize=None)
    def make(kind):
        place = tmp_path_factory.mktemp(kind)
        build = f"from setuptools import build_meta; build_meta.build_{kind}({str(place)!r})"
        subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
        (wheel,) = place.glob("*.whl")
        venv.create(place / "venv", symlinks=True)
        (site,) = (place / "venv" / "lib").glob("python*/site-packages")
        zipfile.ZipFile(wheel).extractall(site)
        for name, text in OTHER_FIXTURES.items():
            (site / name).parent.mkdir(exist_ok=True)
            (site / name).write_text(text)
        (site / "this_environment.pth").write_text(sysconfig.get_paths()["purelib"])
        (site / "other_plugin.py").write_text(OTHER_PLUGIN)
        return place / "venv" / "bin" / "python"

    return make


@pytest.fixture(scope="module")
def page(root):
    """The blocks of docs/installed.md by language; README's model file as `model`."""
    text = (root / "docs" / "installed.md").read_text(encoding="utf-8")
    found = {language: blocks(text, language) for language in ("sh", "ini", "python")}
    readme = blocks((root / "README.md").read_text(encoding="utf-8"), "python")
    (found["model"],) = (block for block in readme if "ModelSpec(" in block)
    return found


@pytest.fixture
def stranger(request, tmp_path, environment, page):
    """run(*arguments of pytest, cwd=…): pytest in a stranger's repository, with the files of docs/installed.md."""
    folder = tmp_path / "stranger"
    (folder / "tests").mkdir(parents=True)
    (folder / "my_models.py").write_text(page["model"].replace("from fixtures.models", "from twins.models"))
    (folder / "tests" / "test_mine.py").write_text(page["python"][0] + OTHER_TEST)
    environment_variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    interpreter = environment(getattr(request, "param", "wheel"))

    def run(*arguments, cwd=folder, command=("-m", "pytest", "-p", "no:hypothesispytest")):
        words = [str(interpreter), *command, *map(str, arguments)]
        return subprocess.run(words, cwd=cwd, env=environment_variables, capture_output=True, text=True)

    run.folder = folder
    return run


BOTH = pytest.mark.parametrize("stranger", ["wheel", "editable"], indirect=True)


def refused(done):
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    return done.stderr


@BOTH
def test_a_session_that_does_not_ask_gets_nothing_but_the_ini_option(stranger):
    (stranger.folder / "tests" / "test_mine.py").write_text(
        "import pytest, sys\n"
        "@pytest.mark.parametrize('model', [object()])\n"
        "def test_own(model): assert 'twins' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = stranger("-q")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    shown = stranger("--help").stdout
    assert "--twins" not in shown and "--models" not in shown and "twins (bool)" in shown
    assert "unrecognized arguments: --models" in refused(stranger("--models=mine"))


def test_the_suite_runs_on_a_model_of_the_strangers_and_runs_are_compared(stranger, page):
    """The commands of docs/installed.md, narrowed to seconds."""
    first, second, third = page["sh"][1].strip().splitlines()
    for line in (first, second):
        assert line.startswith("pytest --pyargs twins.suite ")
        done = stranger(*line.split()[1:], "-k", "agreement or photographs or images")
        assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    run = json.loads((stranger.folder / "new.json").read_text())
    assert [row["twin"] for row in run["suite"]["agreement"]] == ["onnxruntime_fp32"]
    assert third.startswith("twins compare ")
    done = stranger(*third.split()[1:], command=("-m", "twins"))
    assert done.returncode == 0 and "No regression" in done.stdout, done.stdout + done.stderr
    listed = "from importlib.metadata import distribution as d; print(*d('pytest-twins').entry_points, sep='\\n')"
    assert "value='twins.__main__:main', group='console_scripts'" in stranger("-c", listed, command=()).stdout


@BOTH
def test_a_test_of_the_strangers_gets_model_and_twin_and_its_own_package_fixtures(stranger, page):
    (stranger.folder / "pytest.ini").write_text(page["ini"][0])
    done = stranger("-v", "--twins=onnxruntime_fp32")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_mine[mine-onnxruntime_fp32] PASSED" in done.stdout and "2 passed" in done.stdout
    # The suite's tests, which come first, must not leave what is above them on the path.
    mixed = stranger("--pyargs", "twins.suite", "tests", "-k", "photographs or images or other_fixtures")
    assert mixed.returncode == 0 and "2 passed" in mixed.stdout, mixed.stdout + mixed.stderr


def test_names_that_others_have_are_theirs(stranger):
    (stranger.folder / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--quick')")
    arguments = ("-p", "twins", "-p", "other_plugin", "--co", "--images=theirs", "--pick=picked", "--quick=own")
    done = stranger(*arguments, "--model-file=my_models.py", "--twins-models=mine", "--twins-quick")
    assert done.returncode == 0 and "other: theirs picked" in done.stdout, done.stdout + done.stderr
    assert "test_mine[mine-" in done.stdout and "resnet" not in done.stdout
    assert "no/folder: no such folder" in refused(stranger(*arguments, "--twins-images=no/folder"))


def test_tests_with_fixtures_and_parameters_of_the_same_names_are_left_alone(stranger):
    (stranger.folder / "tests" / "test_mine.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def session(): return 'database'\n"
        "@pytest.fixture\n"
        "def model(session): return 'row of ' + session\n"
        "def test_row(model): assert model == 'row of database'\n"
        "@pytest.mark.parametrize('model', [1, 'resnet18'])\n"
        "def test_own(model): assert model\n"
    )
    done = stranger("-p", "twins", "--benchmark-json=run.json")
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    assert json.loads((stranger.folder / "run.json").read_text())["suite"]["cases"] == []


def test_workers_are_refused_for_the_suite_and_fail_only_the_tests_of_models(stranger):
    reason = "the suite measures in one process"
    assert reason in refused(stranger("--pyargs", "twins.suite", "-n", "2", *MINE))
    done = stranger("-p", "twins", "-n", "1", "--model-file=my_models.py", "--models=mine", "--twins=onnxruntime_fp32")
    assert done.returncode == 1 and "1 passed, 1 error" in done.stdout and reason in done.stdout, done.stdout


@pytest.mark.parametrize("where", ["stranger", "clone"])
def test_images_elsewhere_do_not_change_the_root(stranger, source, tmp_path, where):
    """pytest takes DIR of `--images DIR` for a folder of tests, looks for its root there, and finds no settings."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(source / "images" / "macaw_01.jpg", elsewhere)
    (stranger.folder / "pytest.ini").write_text("[pytest]\ntwins = true\ntestpaths = tests\n")
    folder = stranger.folder if where == "stranger" else source
    done = stranger("--co", "-q", "--models", "resnet18", "--images", elsewhere, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = "tests/test_mine.py::test_mine[resnet18-" if where == "stranger" else "benchmarks/test_agreement.py::"
    assert expected in done.stdout and not (elsewhere / ".pytest_cache").exists()
    # A session that does not ask keeps the root that pytest takes.
    (stranger.folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    done = stranger("--co", "-q", "--images", elsewhere, cwd=stranger.folder)
    assert "unrecognized arguments: --images" in refused(done) and f"rootdir: {tmp_path}\n" in done.stderr


@BOTH
def test_a_clone_uses_its_own_code_also_where_the_suite_is_installed(stranger, source):
    (source / "fixtures" / "here.py").write_text("HERE = True")
    show = "import twins, twins.here, fixtures.models, twins.models as m; assert fixtures.models is m; print('HERE')"
    (source / "benchmarks" / "test_here.py").write_text(f"def test_here(session):\n    {show}\n")
    try:
        done = stranger("benchmarks", "-k", "test_here", "-s", cwd=source)
    finally:
        (source / "benchmarks" / "test_here.py").unlink()
        (source / "fixtures" / "here.py").unlink()
    assert done.returncode == 0 and "HERE" in done.stdout, done.stdout + done.stderr


def test_every_option_that_takes_a_path_is_known_before_the_options_are():
    taken = {}

    class Parser:
        _groups = ()

        def getgroup(self, name, description):
            return self

        def addoption(self, name, **settings):
            taken[name] = settings

    options.pytest_addoption(Parser())
    paths = {name for name, settings in taken.items() if {"DIR", "FILE", "json"} & set(
        settings.get("metavar", "").replace("|", ".").split("."))}  # fmt: skip
    assert paths == set(PATHS)


def test_every_file_of_the_clone_is_in_the_wheel(source, environment):
    (site,) = (environment("wheel").parent.parent / "lib").glob("python*/site-packages")
    for folder, package in {"fixtures": "twins", "benchmarks": "twins/suite", "images": "twins/bundled_images"}.items():
        there = {
            path.relative_to(source / folder).as_posix() for path in (source / folder).rglob("*") if path.is_file()
        }
        here = {name for name in there if (site / package / name).is_file() or (site / name).is_file()}
        assert {name for name in there - here if "__pycache__" not in name and "examples/" not in name} == set()
    assert not (site / "benchmarks").exists() and (site / "fixtures").is_dir()
