"""The order of the folders of fixtures/, where import-linter cannot see it: modules that are named by strings."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re

MODULE = re.compile(r"twins(\.\w+)+")


def storeys(root):
    """Each folder's storey, the lowest first."""
    config = configparser.ConfigParser()
    config.read(root / ".importlinter")
    layers = config["importlinter:contract:storeys"]["layers"].split()
    return {name: number for number, name in enumerate(reversed(layers))}


def named_modules(path):
    """Strings of a file that name a module of fixtures/, such as those that the workers' server preloads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in strings if MODULE.fullmatch(text)]


def test_modules_named_by_strings_exist_and_lie_below(root):
    order, found = storeys(root), 0
    for path in (root / "fixtures").rglob("*.py"):
        here = path.relative_to(root / "fixtures").parts[0].replace(".py", "")
        for name in named_modules(path):
            if name == "twins.suite":  # benchmarks/, where the suite is installed
                continue
            assert importlib.util.find_spec(name), f"{path} names {name}, which is not there"
            assert here == "zoo" or order[here] >= order[name.split(".")[1]], f"{path} names {name}, a storey above"
            found += 1
    assert found, "process.PRELOADED names one"


def test_every_folder_says_in_one_line_what_it_is_for(root):
    for path in (root / "fixtures").rglob("__init__.py"):
        if path.parent != root / "fixtures":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert (ast.get_docstring(tree) or "").splitlines()[:1], f"{path} says nothing"


def test_no_file_is_longer_than_250_lines_and_no_folder_has_more_than_13_modules(root):
    files = list((root / "fixtures").rglob("*.py"))
    long = {str(path): count for path in files for count in [len(path.read_text().splitlines())] if count > 250}
    assert long == {}
    folders = [path.parent for path in files if path.name != "__init__.py"]
    assert {str(folder): folders.count(folder) for folder in folders if folders.count(folder) > 13} == {}
