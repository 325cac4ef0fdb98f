"""Tests of the user's own models: the example file through the whole suite, without a network, and what is refused."""

from __future__ import annotations

import ast
import json
import os
import shutil
from types import SimpleNamespace

import numpy
import pytest
import torch
from PIL import Image

from fixtures.common import outputs
from fixtures.common.errors import UserError
from fixtures.models import zoo
from fixtures.run.settings import add_models
from tests.helpers import no_network

IMAGES = {"bird": ("macaw_01", "toucan_01", "spoonbill_01"), "building": ("castle_01", "dam_02")}


@pytest.fixture(scope="module")
def example(root, run_pytest, tmp_path_factory, once):
    """One run of the example file: images in class folders, two batch sizes, sockets refused."""
    return once("own_models", lambda: example_run(root, run_pytest, tmp_path_factory))


def example_run(root, run_pytest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for label, names in IMAGES.items():
        (folder / "images" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(root / "images" / f"{name}.jpg", folder / "images" / label)
    command = [root / "benchmarks", "-p", "no:cacheprovider", "-p", "tests.helpers.no_network"]
    command += ["--model-file", str(root / "benchmarks" / "examples" / "own_models.py")]
    command += ["--models", "pair,four_classes", "--twins", "onnxruntime_fp32", "--batch-sizes", "1,4"]
    command += ["--images", str(folder / "images"), "--engine-dir", str(folder / "engines")]
    command += ["--benchmark-max-time", "0.02", "--benchmark-json", str(folder / "out.json")]
    done = run_pytest(command, environment={no_network.REPORT: str(folder / "network.json")})
    assert done.returncode == 0, done.stdout
    network, document = (json.loads((folder / f"{name}.json").read_text()) for name in ("network", "out"))
    return SimpleNamespace(folder=folder, network=network, document=document)


def test_every_model_of_the_example_is_judged(example):
    agreement = {row["model"]: row for row in example.document["suite"]["agreement"]}
    assert set(agreement) == {"pair", "four_classes"}
    assert all(row["ok"] and row["max_relative_error"] < 2e-5 for row in agreement.values())
    assert agreement["four_classes"]["top1_total"] == 5 and "top1_total" not in agreement["pair"]
    accuracy = {row["twin"]: row["total"] for row in example.document["suite"]["accuracy"]}
    assert accuracy == {"eager_fp32": 5, "onnxruntime_fp32": 5}, "labels are the names of the class folders"


def test_mutants_of_every_output_are_refused(example):
    trials = {row["model"]: row for row in example.document["suite"]["mutants"]}
    assert all(row["refused"] == row["total"] for row in trials.values())
    # Frozen, zeros, NaN, shifted and noise, for both outputs; three of repeated calls; then BGR, crop, other weights
    # and half precision.
    assert trials["pair"]["total"] == 2 * 5 + 3 + 4


def test_one_engine_serves_both_batch_sizes_where_the_spec_asks_for_it(example):
    built = sorted(name.rpartition("-")[0] for name in os.listdir(example.folder / "engines") if "onnx" in name)
    built = [name for name in built if not name.startswith(".")]
    assert built == ["four_classes-onnxruntime_fp32-b1to8", "pair-onnxruntime_fp32-b1", "pair-onnxruntime_fp32-b4"]


def test_a_run_with_weights_at_hand_asks_no_network(example):
    assert example.network["asked"] == []


def test_the_refusal_of_sockets_works(example):
    """In the run itself and in its workers, which are forked from a process that has the hook as well."""
    assert example.network["tried"] == ["there is no network here"] * 2


def added(tmp_path, line, monkeypatch):
    """Adds the models of a file that ends with this line."""
    monkeypatch.setattr(zoo, "MODELS", dict(zoo.MODELS))
    head = "from twins.models import ModelSpec\nimport torch\nmine = {'builder': torch.nn.ReLU, 'preprocess': abs}\n"
    (tmp_path / "models.py").write_text(f"{head}{line}\n")
    add_models(tmp_path / "models.py")
    return zoo.MODELS


@pytest.mark.parametrize(
    "line, expected",
    [
        ("1 / 0", "cannot be run: ZeroDivisionError"),
        ("raise ValueError('a\\x1b[2J\\nb')", "cannot be run: ValueError: a\\x1b[2J b"),
        ("raise SystemExit('bye')", "cannot be run: SystemExit: bye"),
        ("", "has no ModelSpec at its top level"),
        ("M = ModelSpec('resnet18', **mine)", "'resnet18' is in the zoo already"),
        ("M = ModelSpec('mine')", "'mine' needs builder and preprocess"),
        ("M = ModelSpec('../../etc/cron', **mine)", "is not a valid model name"),
        ("M = ModelSpec('a\\x1b[2J', **mine)", "'a\\\\x1b[2J' is not a valid model name"),
        ("M = ModelSpec('a,b', **mine)", "is not a valid model name"),
        (
            "M = ModelSpec('mine', build=torch.nn.ReLU)",
            "ModelSpec has no argument 'build': did you mean builder? Known: name, ",
        ),
        ("M = ModelSpec('mine', zzz=1)", "ModelSpec has no argument 'zzz': Known: name, weights, task"),
        ("\nM = 1 / 0", "ZeroDivisionError: division by zero (at "),
        ("M = ModelSpec('mine', builder=torch.nn.ReLU, preprocess='abs')", "has a str as preprocess; give a function"),
        ("M = ModelSpec('mine', task='poetry', **mine)", "has the task 'poetry'; known are classification"),
        (
            "M = ModelSpec('mine', task='clasification', **mine)",
            "has the task 'clasification'; did you mean classification? ",
        ),
        ("M = ModelSpec('mine', batch_profile=(4, 1, 8), **mine)", "has batch_profile (4, 1, 8); give fewest"),
        ("M = ModelSpec('mine', sizes=((8, 8), (4, 9), (9, 9)), **mine)", "has sizes ((8, 8), (4, 9), (9, 9)); give"),
        ("M = ModelSpec('mine', sizes=(8, 16), **mine)", "has sizes (8, 16); give smallest, optimal and largest"),
        ("M = ModelSpec('mine', tolerances={'fp17': 1}, **mine)", "no tolerance for precision 'fp17'"),
        ("M = ModelSpec('mine', tolerances={'fp16': -1}, **mine)", "give a positive number"),
        ("M = ModelSpec('mine', calibrated_tolerances={'fp16': -1}, **mine)", "give a positive number"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(tmp_path, monkeypatch, line, expected):
    with pytest.raises(UserError) as error:
        added(tmp_path, line, monkeypatch)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_specs_may_stand_alone_or_in_a_list(tmp_path, monkeypatch):
    models = added(tmp_path, "A, B = ModelSpec('a', **mine), [ModelSpec('b', **mine)]", monkeypatch)
    assert {"a", "b", "resnet18"} <= set(models)


@pytest.mark.parametrize(
    "output", [torch.ones(2), (torch.ones(2), torch.zeros(2)), {"b": torch.ones(2), "a": torch.zeros(2)}]
)
def test_an_output_survives_a_graph(output):
    back = outputs.from_graph(outputs.graph_names(output), outputs.named(output).values())
    assert type(back) is type(output)
    ours, theirs = outputs.to_numpy(back), outputs.to_numpy(output)
    assert list(ours) == list(theirs) and all(numpy.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("output", [None, "text", (torch.ones(2), None), {"loss": 1.0}, [(torch.ones(2),)]])
def test_an_output_of_another_form_is_refused(output):
    with pytest.raises(UserError, match="return a tensor, or a tuple or a dict of tensors"):
        outputs.to_numpy(output)


def test_the_example_takes_at_most_ten_lines_a_model(root):
    """An entry and what it alone builds and preprocesses with, docstrings apart; the nets themselves are given."""
    tree = ast.parse((root / "benchmarks" / "examples" / "own_models.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    entries = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ModelSpec"
    ]
    lines = {ast.literal_eval(node.args[0]): node.end_lineno - node.lineno + 1 for node in entries}
    for model, name in (("pair", "small_and_large"), ("four_classes", "classifier")):
        lines[model] += functions[name].end_lineno - functions[name].lineno
    assert set(lines) == {"pointwise", "pair", "four_classes"} and max(lines.values()) <= 10, lines


def test_a_model_of_the_example_that_only_has_numbers_is_built_and_preprocessed(root, monkeypatch):
    monkeypatch.setattr(zoo, "MODELS", dict(zoo.MODELS))
    add_models(root / "benchmarks" / "examples" / "own_models.py")
    spec = zoo.MODELS["pointwise"]
    picture = zoo.preprocessing(spec)(Image.open(root / "images" / "bee_01.jpg").convert("RGB"))
    assert zoo.build_module(spec)(picture[None]).shape == (1, 9, 128, 128)
