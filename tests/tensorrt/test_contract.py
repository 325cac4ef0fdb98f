"""The names of TensorRT that the suite uses, against the real Python bindings, and against the doubles.

The real ones come from PyPI, 1–2 MB each. They are fetched where TENSORRT_BINDINGS names a folder for them or CI=true,
and there not having them is a failure; anywhere else the tests skip unless pytest's cache has them already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles import stub_libraries, tensorrt_double
from tests.doubles.tensorrt_double import RTX_VERSIONS, VERSIONS
from tests.tensorrt import contract as tensorrt_contract

WANTED = os.environ.get(stub_libraries.FOLDER_VARIABLE) or os.environ.get("CI") == "true"
OUT_OF_REACH = (
    "no network in tests: to fetch the bindings from PyPI once, set "
    f"{stub_libraries.FOLDER_VARIABLE} to a folder for them"
)


@pytest.fixture(scope="module")
def wheels(pytestconfig, tmp_path_factory):
    """The folder with the wheels: of the environment, else in pytest's cache."""
    named = os.environ.get(stub_libraries.FOLDER_VARIABLE)
    cache = getattr(pytestconfig, "cache", None)
    if named:
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named)
    return cache.mkdir("tensorrt-bindings") if cache else tmp_path_factory.mktemp("tensorrt-bindings")


@pytest.mark.parametrize("requirement", stub_libraries.WHEELS)
def test_every_name_is_in_the_real_bindings(requirement, wheels, tmp_path, root):
    reason = stub_libraries.without_wheel(requirement, sys.version_info[:2])
    if reason:
        pytest.skip(reason)
    if not WANTED and not stub_libraries.is_there(requirement, wheels):
        pytest.skip(OUT_OF_REACH)
    bindings = stub_libraries.unpack(stub_libraries.wheel(requirement, wheels), tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.tensorrt.contract", stub_libraries.package_of(requirement)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(bindings)},
        capture_output=True,
        timeout=60,
    )
    assert done.stdout, f"the bindings do not import:\n{done.stderr.decode(errors='replace')}"
    report = json.loads(done.stdout)
    assert report["version"] == requirement.partition("==")[2]
    assert report["missing"] == [], f"not in TensorRT {report['version']}: put it behind a branch on the version"
    doubled = report["version"] in VERSIONS + RTX_VERSIONS
    assert ("double_alone" in report) is doubled, "the double of this version was not held against it"
    if doubled:
        assert report["double_alone"] == [], "the double offers what the real one does not: take it out"
    assert report["callbacks_work"], "logger or progress monitor cannot be derived from its classes"
    assert done.returncode == 0


def test_every_double_is_held_against_real_bindings_but_those_that_no_registry_has():
    real = {requirement.partition("==")[2] for requirement in stub_libraries.WHEELS}
    assert set(VERSIONS) - real == {"8.4.1.5"}, "8.4 and 8.5 came with JetPack and NVIDIA's own index alone"
    assert set(RTX_VERSIONS) - real == {"1.7.1.116"}, "that one is installed whole, see test_real_rtx.py"


def test_wheels_are_missing_only_where_the_table_says_so():
    missing = {python: [name for name in stub_libraries.WHEELS if stub_libraries.without_wheel(name, (3, python))]
               for python in range(8, 14)}  # fmt: skip
    old, newer = "tensorrt-bindings==8.6.1", "tensorrt-cu12-bindings==10.3.0"
    assert missing == {8: [], 9: [], 10: [], 11: [], 12: [old], 13: [old, newer]}
    assert stub_libraries.without_wheel(old, (3, 13)) == f"{old} has no wheel for Python 3.13, 3.11 is the last"


@pytest.mark.parametrize("version", VERSIONS + RTX_VERSIONS)
def test_every_name_is_in_the_double(version):
    trt = tensorrt_double.make(version)
    assert tensorrt_contract.missing(trt) == []
    assert tensorrt_contract.callbacks_work(trt)


def missing(source, version="11.4.0.106", **namespace):
    return [
        entry.split()[1]
        for entry in tensorrt_contract.missing_in(source, tensorrt_double.make(version), namespace, "x")
    ]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("config.set_flag(trt.BuilderFlag.FP16)", ["trt.BuilderFlag.FP16"]),
        ("config.set_flag(trt.BuilderFlag.TF23)", ["trt.BuilderFlag.TF23"]),
        ("config.set_flag(trt.BuilderFlags.TF32)", ["trt.BuilderFlags.TF32"]),
        ("config.max_workspace_size = 1", ["trt.IBuilderConfig.max_workspace_size"]),
        ("def f(engine):\n    return [engine.num_bindings for _ in range(3)]", ["trt.ICudaEngine.num_bindings"]),
        (
            "class A:\n    def f(self):\n        self._context.execute_async_v2([], 0)",
            ["trt.IExecutionContext.execute_async_v2"],
        ),
        ("class A(trt.IProgressMonitor):\n    def phase_begin(self): ...", ["trt.IProgressMonitor.phase_begin"]),
        ("engine.create_execution_context().device_memory", []),  # What a call gives is looked at only under a name.
        ("thing = builder.create_network(0)\nthing.num_layer", ["thing"]),
    ],
)
def test_a_name_that_is_not_there_is_found(source, expected):
    assert missing(source) == expected


@pytest.mark.parametrize(
    "source, on_10, on_11",
    [
        ("if hasattr(trt.BuilderFlag, 'FP16'):\n    trt.BuilderFlag.FP16", [], []),
        ("if not hasattr(trt.BuilderFlag, 'FP16'):\n    trt.BuilderFlag.FP16", [], ["trt.BuilderFlag.FP16"]),
        ("if old(trt):\n    trt.BuilderFlag.FP16\nelse:\n    trt.BuilderFlag.FP17", [], ["trt.BuilderFlag.FP17"]),
        ("def f():\n    if old(trt):\n        return 1\n    trt.BuilderFlag.FP17", [], ["trt.BuilderFlag.FP17"]),
        ("x = trt.BuilderFlag.FP16 if old(trt) else 0", [], []),
        ("if precision == 'fp16':\n    trt.BuilderFlag.FP16", [], ["trt.BuilderFlag.FP16"]),
        ("if precision == 'fp16':\n    1\nelse:\n    trt.BuilderFlag.FP16", [], ["trt.BuilderFlag.FP16"]),
        ("getattr(trt.BuilderFlag, 'FP16', None)", [], []),
    ],
)
def test_a_branch_on_the_version_is_followed_and_no_other_is(source, on_10, on_11):
    def old(trt):
        return trt.__version__.startswith("10.")

    assert missing(source, "10.3.0", old=old) == on_10
    assert missing(source, "11.4.0.106", old=old) == on_11


def test_a_double_that_offers_too_much_is_found():
    real = tensorrt_double.make("11.4.0.106")
    assert "BuilderFlag.FP16" in tensorrt_contract.offered_by_the_double_alone(real, "10.3.0")
    assert "CalibrationAlgoType" in tensorrt_contract.offered_by_the_double_alone(real, "10.3.0")
    assert tensorrt_contract.offered_by_the_double_alone(real, "11.4.0.106") == []


def test_no_part_of_the_suite_reaches_the_doubles(root):
    for folder in ("fixtures", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "tests" not in [
                word for line in text.splitlines() if "import" in line for word in line.replace(".", " ").split()
            ]


def test_wheels_that_cannot_be_fetched_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        OSError, match="pip cannot fetch tensorrt-cu12-bindings==10.3.0: ERROR: No matching distribution"
    ):
        stub_libraries.wheel("tensorrt-cu12-bindings==10.3.0", tmp_path)
