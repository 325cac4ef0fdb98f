"""Tests of the table of predictions: from a run's JSON to what people read, and wrong files in one line."""

from __future__ import annotations

import json

import pytest

from fixtures import predictions

BEE = {"photograph": "bee.jpg", "names": ["bee", "ant"], "indices": [1, 2], "probabilities": [0.75, 0.125]}
ODD = {"photograph": "odd\n.jpg", "names": ["\x1b[31mred"], "indices": [3], "probabilities": [None]}


def row(model, twin, *images):
    return {"model": model, "twin": twin, "batch_size": 1, "photographs": list(images)}


@pytest.fixture
def run(tmp_path):
    """A run's file with these rows."""

    def write(*rows):
        path = tmp_path / "run.json"
        path.write_text(json.dumps({"suite": {"predictions": list(rows)}}))
        return str(path)

    return write


def test_each_image_has_the_predictions_of_both(run, capsys):
    path = run(row("resnet18", "eager_fp32", BEE), row("resnet18", "tensorrt_fp16", BEE), row("alexnet", "x_fp32", ODD))
    assert predictions.main([path]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "bee.jpg eager_fp32 bee 75.0%, ant 12.5%" in lines and "tensorrt_fp16 bee 75.0%, ant 12.5%" in lines
    assert "odd\\n.jpg x_fp32 \\x1b[31mred –" in lines and "\x1b" not in out


def test_only_the_models_asked_for(run, capsys):
    path = run(row("resnet18", "eager_fp32", BEE), row("alexnet", "eager_fp32", BEE))
    assert predictions.main([path, "alexnet"]) == 0
    out = capsys.readouterr().out
    assert "alexnet" in out and "resnet18" not in out


@pytest.mark.parametrize(
    "rows, models, reason",
    [
        ([row("resnet18", "eager_fp32", BEE)], ["vgg16"], "no predictions of vgg16; it has resnet18"),
        ([], [], "no predictions of any model; it has none"),
        ([{"model": "resnet18"}], [], "not a run of this suite"),
        ([row("resnet18", "eager_fp32", {**BEE, "probabilities": ["much"]})], [], "not a run of this suite"),
        (["row"], [], "not a run of this suite"),
    ],
)
def test_a_file_without_them_is_one_line(run, capsys, rows, models, reason):
    assert predictions.main([run(*rows), *models]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_a_missing_file_is_one_line(tmp_path, capsys):
    assert predictions.main([str(tmp_path / "absent.json")]) == 2
    assert "absent.json: cannot be read: No such file" in capsys.readouterr().err
