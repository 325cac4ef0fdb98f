"""Looks up every name of TensorRT that the suite uses in an installed one.

`python -m tests.tensorrt.contract [MODULE]`; MODULE is `tensorrt` unless named, or `tensorrt_rtx`.

The names are read from the suite's source, so that the list cannot go stale. A branch that this TensorRT does not take
(`if hasattr(trt.ICudaEngine, …)`, `if strongly_typed(trt)`) is left out, because its test is evaluated on the real
module; a test that depends on anything else leaves both branches in.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

from fixtures.backends.torch2trt import FIRST_WITHOUT_CALIBRATORS
from fixtures.common.versions import release
from fixtures.tensorrt import builder, dla, logger
from fixtures.tensorrt.package import is_rtx
from tests.doubles import tensorrt_double

ROOT = Path(__file__).resolve().parents[2]
ANY: Tuple[int, ...] = (10**6,)
# Modules that touch TensorRT, and the first version with which they are not used; then those for TensorRT for RTX.
MODULES = {
    "twins.tensorrt.builder": ANY,
    "twins.tensorrt.engine": ANY,
    "twins.tensorrt.logger": ANY,
    "twins.tensorrt.profiling": ANY,
    "twins.tensorrt.timing_cache": ANY,
    "twins.tensorrt.dla": dla.FIRST_WITHOUT,
    "twins.backends.tensorrt": ANY,
    "twins.backends.torch2trt": FIRST_WITHOUT_CALIBRATORS,
}
RTX_MODULES = {
    **{name: until for name, until in MODULES.items() if name.startswith("twins.tensorrt.") and until is ANY},
    "twins.tensorrt.rtx": ANY,
    "twins.backends.tensorrt_rtx": ANY,
}
# What the suite calls an object, and its class in TensorRT.
OWNERS = {
    "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "error": "ParserError",
    "config": "IBuilderConfig", "cache": "ITimingCache", "memory": "IHostMemory", "runtime": "Runtime",
    "engine": "ICudaEngine", "context": "IExecutionContext", "profile": "IOptimizationProfile",
    "network_input": "ITensor", "runtime_config": "IRuntimeConfig", "runtime_cache": "IRuntimeCache",
    "network_layer": "ILayer", "inspector": "EngineInspector",
}  # fmt: skip
# What TensorRT returns that is not one of its own objects.
PLAIN = {"at", "logger", "layers", "members"}


def missing(trt: ModuleType) -> List[str]:
    """`file:line name` of everything that the suite would use of this TensorRT and that it does not have."""
    found = []
    for name, until in (RTX_MODULES if is_rtx(trt) else MODULES).items():
        if release(trt.__version__) < until:
            module = importlib.import_module(name)
            source = Path(module.__file__).read_text(encoding="utf-8")
            found += missing_in(source, trt, vars(module), str(Path(module.__file__).relative_to(ROOT)))
    return found


def missing_in(source: str, trt: ModuleType, namespace: Dict[str, Any], title: str) -> List[str]:
    """The same for one source text. namespace: what the tests of its branches may use in addition to `trt`."""
    reader = _Reader(trt, namespace, title)
    reader.body(ast.parse(source).body)
    return reader.missing


def offered_by_the_double_alone(trt: ModuleType, version: str) -> List[str]:
    """`class.name` of everything public that the double of this version has and this TensorRT has not."""
    double = tensorrt_double.make(version)
    alone = []
    for name, value in vars(double).items():
        if name.startswith("_") or name == "double":
            continue
        if not hasattr(trt, name):
            alone.append(name)
        elif isinstance(value, type):
            own = getattr(value, "__members__", None) or vars(value)
            alone += [
                f"{name}.{key}" for key in own if not key.startswith("_") and not hasattr(getattr(trt, name), key)
            ]
    return alone


def callbacks_work(trt: ModuleType) -> bool:
    """Whether the suite's logger and progress monitor can be derived from this TensorRT's classes, made and called."""
    recorder = logger.recorder(trt)
    for severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
        recorder.log(severity, severity.name)
    config, lines = SimpleNamespace(), []
    builder._watch(trt, config, lines.append)
    if hasattr(trt, "IProgressMonitor"):
        config.progress_monitor.phase_start("build", None, 2)
        assert config.progress_monitor.step_complete("build", 0) is True
        config.progress_monitor.phase_finish("build")
    return logger.reason(trt) == "INTERNAL_ERROR; ERROR" and len(lines) == hasattr(trt, "IProgressMonitor")


class _Reader(ast.NodeVisitor):
    """Walks the code that would run with this TensorRT and keeps what is missing."""

    def __init__(self, trt: ModuleType, namespace: Dict[str, Any], title: str) -> None:
        self.trt, self.namespace, self.title = trt, {**namespace, "trt": trt}, title
        self.missing: List[str] = []

    def body(self, statements: List[ast.stmt]) -> None:
        """The statements up to a branch that is certainly taken and returns."""
        for statement in statements:
            if not isinstance(statement, ast.If):
                self.visit(statement)
                continue
            self.visit(statement.test)
            taken = self._decided(statement.test)
            if taken is not False:
                self.body(statement.body)
            if taken is not True:
                self.body(statement.orelse)
            elif isinstance(statement.body[-1], (ast.Return, ast.Raise, ast.Continue)):
                return

    def generic_visit(self, node: ast.AST) -> None:
        """Every part of a node; lists of statements as a whole."""
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self.body(value)
            elif isinstance(value, list):
                for part in value:
                    if isinstance(part, ast.AST):
                        self.visit(part)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def visit_IfExp(self, node: ast.IfExp) -> None:  # noqa: N802
        """One value or the other."""
        taken = self._decided(node.test)
        for part, wanted in ((node.test, None), (node.body, False), (node.orelse, True)):
            if wanted is None or taken is not wanted:
                self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802
        """A method that TensorRT is to call must be one that it knows."""
        for base in node.bases:
            chain = _chain(base)
            if chain and chain[0] == "trt":
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        self._look_up(["trt", *chain[1:], method.name], method.lineno)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        """What TensorRT gives must have a name that this contract knows, or its uses would go unseen."""
        chain = _chain(node.value.func) if isinstance(node.value, ast.Call) else None
        if chain and len(chain) > 1 and (chain[0] == "trt" or chain[0] in OWNERS):
            for target in node.targets:
                name = (_chain(target) or ["?"])[-1].lstrip("_")
                if name not in OWNERS and name not in PLAIN:
                    self.missing.append(
                        f"{self.title}:{node.lineno} {name} = {'.'.join(chain)}(…): not in OWNERS or PLAIN"
                    )
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802
        """`trt.A.b` and `engine.b`, read or set."""
        chain = _chain(node)
        if chain:
            self._look_up(chain, node.lineno)
        else:
            self.generic_visit(node)

    def _look_up(self, chain: List[str], line: int) -> None:
        if chain[0] in OWNERS and len(chain) > 1:
            chain = ["trt", OWNERS[chain[0]], chain[1]]
        found: Any = self.trt
        for name in chain[1:] if chain[0] == "trt" else ():
            if not hasattr(found, name):
                self.missing.append(f"{self.title}:{line} {'.'.join(chain)}")
                return
            found = getattr(found, name)

    def _decided(self, test: ast.expr) -> Optional[bool]:
        """What the test comes to with this TensorRT; None where it needs more than that."""
        try:
            return bool(eval(compile(ast.Expression(test), self.title, "eval"), dict(self.namespace)))
        except Exception:  # noqa: BLE001  most often a NameError: the test looks at something of its function
            return None


def _chain(node: ast.AST) -> Optional[List[str]]:
    """["trt", "BuilderFlag", "TF32"] for such an expression; `self._engine` counts as `engine`; else None."""
    names: List[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    if node.id == "self" and names:
        return [names[0].lstrip("_"), *names[1:]]
    return [node.id, *names]


if __name__ == "__main__":
    imported = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "tensorrt")
    report: Dict[str, Any] = {"version": imported.__version__, "missing": missing(imported)}
    report["callbacks_work"] = callbacks_work(imported)
    if imported.__version__ in tensorrt_double.VERSIONS + tensorrt_double.RTX_VERSIONS:
        report["double_alone"] = offered_by_the_double_alone(imported, imported.__version__)
    print(json.dumps(report, indent=2))
    sys.exit(bool(report["missing"] or report.get("double_alone") or not report["callbacks_work"]))
