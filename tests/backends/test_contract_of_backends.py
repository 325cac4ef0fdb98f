"""The contract of backends: checked at discovery, defaults filled in, and no backend is named outside its own file."""

from __future__ import annotations

import ast
import re

import pytest

from fixtures import backends
from fixtures.backends import DEFAULTS, REFERENCE, TWINS
from fixtures.common.errors import UserError

# Files that name packages with a backend's name: their versions, the reports that print them, what one of them drops.
OF_PACKAGES = {
    "fixtures/models/from_onnx/files.py",
    "fixtures/machine/facts.py",
    "fixtures/tensorrt/package.py",
    "fixtures/tensorrt/rtx.py",
    "fixtures/tensorrt/torch2trt_losses.py",
    "fixtures/compare/reading/load.py",
    "fixtures/compare/reading/run.py",
    "fixtures/compare/writing/charts.py",
    "fixtures/compare/writing/view.py",
}
RIGHT = """
PRECISIONS = ("fp32", "fp16")
def unavailable(run_device): return None
def build(request): return request
"""


@pytest.fixture
def discovered(monkeypatch, tmp_path):
    """What is found in addition to the suite's backends: (names of twins, faults). The source is that of `mine.py`."""
    monkeypatch.setattr(backends, "__path__", [str(tmp_path)])

    def discover(source):
        (tmp_path / "mine.py").write_text(source)
        twins, faults = backends._discover()
        return set(twins), faults

    yield discover
    import sys

    sys.modules.pop("twins.backends.mine", None)
    vars(backends).pop("mine", None)


def test_a_minimal_backend_gets_every_default(discovered):
    names, faults = discovered(RIGHT)
    assert (names, faults) == ({"mine_fp32", "mine_fp16"}, [])
    module = backends.TwinSpec("mine_fp16", "mine", "fp16").module
    assert {name: getattr(module, name) for name in DEFAULTS} == {name: value for name, (_, value) in DEFAULTS.items()}


def test_a_request_holds_what_the_caller_gave(discovered):
    discovered(RIGHT)
    request = backends.TwinSpec("mine_fp16", "mine", "fp16").build("model", "example", "path", "images")
    given = (request.model, request.example, request.precision, request.engine_path, request.calibration)
    assert given == ("model", "example", "fp16", "path", "images")
    with pytest.raises(AttributeError):
        request.precision = "fp32"


@pytest.mark.parametrize(
    "source, fault",
    [
        (RIGHT.replace("PRECISIONS", "PRECISION"), "lacks PRECISIONS"),
        (RIGHT.replace("def unavailable", "def available"), "lacks unavailable"),
        (RIGHT.replace("def build", "def built"), "lacks build"),
        (RIGHT + 'ENGINE_SUFFIX = ".x"\ndef load(request): ...', "lacks key_facts"),
        (RIGHT + 'ENGINE_SUFFIX = ".x"\ndef key_facts(run_device, options): ...', "lacks load"),
        (RIGHT.replace('("fp32", "fp16")', '"fp32"'), "has PRECISIONS = 'fp32', which is of the wrong type"),
        (RIGHT + "build = 3", "has build = 3, which is of the wrong type"),
        (RIGHT + 'DYNAMIC_BATCH = "no"', "has DYNAMIC_BATCH = 'no', which is of the wrong type"),
        (RIGHT + 'FLAGS = {"fast": "faster"}', "has FLAGS = {'fast': 'faster'}, which is of the wrong type"),
        (RIGHT + 'DEFAULT_PRECISIONS = ("tf32",)', "has tf32 in DEFAULT_PRECISIONS and not in PRECISIONS"),
        ("import no_such_package", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("PRECISIONS = (", "cannot be imported: SyntaxError: "),
    ],
)
def test_one_that_lacks_something_is_refused_in_one_line_that_names_it(discovered, source, fault, monkeypatch):
    names, faults = discovered(source)
    assert names == set() and len(faults) == 1
    monkeypatch.setattr(backends, "_faults", faults)
    with pytest.raises(UserError) as error:
        backends.check()
    assert str(error.value).startswith(f"backend mine {fault}") and "\n" not in str(error.value)
    assert str(error.value).endswith("the contract is the docstring of twins.backends")


def test_the_suites_own_backends_keep_it():
    backends.check()
    assert REFERENCE in TWINS and {"--torch2trt-onnx", "--tensorrt-replay"} <= set(backends.flags())


def named(path):
    """(line, text) of each place in the code of a file that names a backend or one of its twins; docstrings may."""
    names = {spec.backend for spec in TWINS.values()}
    shared = {"cpu", "eager"}  # Words of torch and of English; only their twins' names are names.
    packages = {"onnxruntime", "tensorrt", "tensorrt_rtx"}  # As identifiers they are what is imported.
    twin = re.compile(rf"\b({'|'.join(TWINS)})\b")
    modules = re.compile(rf"twins\.backends\.({'|'.join(names)})\b")
    alone = re.compile(rf"\b({'|'.join(names - shared)})\b", re.IGNORECASE)
    identifier = re.compile("|".join(names - shared - packages), re.IGNORECASE)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            text = node.value
        elif isinstance(node, ast.ImportFrom) and node.module == "twins.backends":
            text = " ".join(f"twins.backends.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            text = f"{node.module}" if modules.search(f"{node.module}") else ""
        own = [getattr(node, field, None) for field in ("id", "attr", "arg", "name")]
        if any(identifier.search(word) for word in own if isinstance(word, str)):
            yield node.lineno, next(word for word in own if word)
        elif twin.search(text) or modules.search(text) or alone.fullmatch(text.strip("-_")) or FLAG.search(text):
            yield node.lineno, text


FLAG = re.compile("|".join(backends.flags()))


def test_no_backend_is_named_outside_its_own_file(root):
    found = []
    for path in [*(root / "fixtures").rglob("*.py"), *(root / "benchmarks").glob("*.py")]:
        name = path.relative_to(root).as_posix()
        if path.parent != root / "fixtures" / "backends" and name not in OF_PACKAGES:
            found += [f"{name}:{line} {text!r}" for line, text in named(path)]
    assert found == []


def test_the_search_finds_such_names(tmp_path):
    lines = [
        'TWIN = "torch2trt_fp16"', "from twins.backends import onnxruntime", 'BACKEND = "cuda_graph"',
        "TORCH2TRT_FIRST = 1", "settings.cuda_graph_replay", "call(use_torch2trt=1)",
        "from twins.backends.inductor import build", 'option("--tensorrt-replay")', 'f"--twins eager_fp32,{x}"',
    ]  # fmt: skip
    (tmp_path / "file.py").write_text("\n".join(['"""About torch2trt_fp32."""', *lines, 'DEVICE = "cpu"']))
    assert {line for line, _ in named(tmp_path / "file.py")} == set(range(2, 11))
