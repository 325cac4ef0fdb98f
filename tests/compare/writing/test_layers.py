"""Changes of layers in words: in the terminal, in markdown, JSON and on the page; and the pages of single runs."""

from __future__ import annotations

import copy
import json
import re

import pytest

from fixtures.compare.__main__ import main
from tests.helpers import compare_data as data
from tests.helpers.compared import Compared

SENTENCE = "+0.256 ms, of which layer3 (4 layers) +0.256 ms, fp16 → fp32 there"


def entry(title, modules, ms, precision="fp16"):
    seconds = dict.fromkeys(("p50_s", "p10_s", "fastest_s"), ms / 1e3)
    return {"layer": title, "name": title, "modules": modules, **seconds, "precision": precision}


LAYERS = [
    entry(
        f"layer{stage}.{block}.conv{number} + bn{number} + relu",
        [f"layer{stage}.{block}.{name}" for name in (f"conv{number}", f"bn{number}", "relu")],
        0.05 + 0.01 * stage,
    )
    for stage in range(1, 5) for block in (0, 1) for number in (1, 2)
] + [entry("fc", ["fc"], 0.02)]  # fmt: skip


def with_layers(document, layers, twin="tensorrt_fp16", batch_size=1):
    row = {"model": "resnet18", "twin": twin, "batch_size": batch_size, "whole_s": 2e-3, "whole_is": "device_p50_s",
           "sum_s": 1e-3, "profiled_call_s": None, "missing": None, "calls": 30, "layers": layers}  # fmt: skip
    document["suite"].setdefault("layers", []).append(row)
    return document


def slower(layers, where="layer3", factor=1.8, precision="fp32"):
    changed = copy.deepcopy(layers)
    for layer in changed:
        if layer["layer"].startswith(where):
            layer.update({key: layer[key] * factor for key in ("p50_s", "p10_s", "fastest_s")})
            layer["precision"] = precision
    return changed


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


@pytest.fixture
def regression():
    """(base, new). In new, layer3 of a twin is slower and in another precision."""
    new = data.slow_down(data.document(seed=1), 1.3, "resnet18", "tensorrt_fp16")
    return with_layers(data.document(), LAYERS), with_layers(new, slower(LAYERS))


def test_a_regression_names_its_layers_everywhere(compared, regression, tmp_path):
    files = {form: tmp_path / f"report.{form}" for form in ("html", "markdown")}
    options = [part for form, path in files.items() for part in (f"--{form}", str(path))]
    assert compared(*regression, options=options) == 1
    line = f"resnet18 tensorrt_fp16, layers: {SENTENCE}"
    assert line in compared.out.replace("\n", " ")
    assert "layer3.0.conv1 + bn1 + relu" in compared.out and "fp16 → fp32" in compared.out
    assert f"`{line}`" in files["markdown"].read_text()
    page = files["html"].read_text()
    assert line in page and "Layers of resnet18 tensorrt_fp16" in page
    (found,) = compared.report["layers"]
    assert (found["model"], found["twin"], found["batch_size"]) == ("resnet18", "tensorrt_fp16", 1)
    assert found["text"] == SENTENCE and len(found["moved"]) == 4 and len(found["parts"]) == len(LAYERS)
    assert max(map(len, compared.out.splitlines())) <= 120


def test_layers_that_did_not_change_are_not_shown(compared):
    base, new = (with_layers(data.document(seed=seed), LAYERS) for seed in (0, 1))
    assert compared(base, new) == 0
    assert "Layers of" not in compared.out
    assert compared.report["layers"][0]["moved"] == []


def test_runs_without_layers_and_with_them_in_one_alone_compare_as_before(compared):
    assert compared(data.document(), with_layers(data.document(seed=1), LAYERS)) == 0
    assert compared.report["layers"] == []


def test_layers_that_appeared_or_vanished_are_named(compared):
    base = with_layers(data.document(), [*LAYERS, entry("pool", ["pool"], 0.03)])
    new = with_layers(data.document(seed=1), [*LAYERS, entry("Reformatting CopyNode", [], 0.011)])
    compared(base, new)
    text = compared.report["layers"][0]["text"]
    assert text == "-0.019 ms; appeared: Reformatting CopyNode (0.011 ms); vanished: pool (0.030 ms)"


def test_a_precision_that_changed_without_time_is_named(compared):
    new = with_layers(data.document(seed=1), slower(LAYERS, "fc", 1.0))
    compared(with_layers(data.document(), LAYERS), new)
    assert compared.report["layers"][0]["text"] == "+0.000 ms; precision changed: fc fp16 → fp32"


def test_all_layers_slower_are_one_sentence(compared):
    new = with_layers(data.document(seed=1), slower(LAYERS, "", 1.2, "fp16"))
    compared(with_layers(data.document(), LAYERS), new)
    assert re.fullmatch(r"\+0\.\d+ ms; all layers \+20\.0 %", compared.report["layers"][0]["text"])


def test_names_from_a_run_cannot_break_a_report(compared, tmp_path):
    evil = "<script>alert(1)</script>|`*x*`\x1b[31m"
    base = with_layers(data.document(), [*LAYERS, entry(evil, [evil], 0.03)])
    new = with_layers(data.document(seed=1), slower([*LAYERS, entry(evil, [evil], 0.03)], "<script>"))
    compared(base, new, options=["--html", str(tmp_path / "x.html"), "--markdown", str(tmp_path / "x.md")])
    assert "\x1b[31m" not in compared.out
    page = (tmp_path / "x.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "damage",
    [
        {"layers": 3}, {"layers": [3]}, {"layers": [{"p10_s": -1}]}, {"layers": [{"p50_s": 1, "modules": [1]}]},
        {"model": None}, {"layers": [{"layer": 5}]},
    ],
)  # fmt: skip
def test_a_damaged_section_is_named_in_one_line(compared, damage):
    document = with_layers(data.document(seed=1), LAYERS)
    document["suite"]["layers"][0].update(damage)
    assert compared(data.document(), document) == 2
    assert "suite.layers[0]" in compared.err and compared.err.count("\n") == 1


def test_the_page_of_a_single_run_has_a_bar_for_each_layer(tmp_path):
    path = data.write(tmp_path, "run.json", with_layers(data.document(), LAYERS))
    assert main([str(path), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Layers of resnet18 tensorrt_fp16" in page
    assert all(layer["layer"] in page for layer in LAYERS)
    assert json.dumps("Layers of resnet18 tensorrt_fp16 as a table").strip('"') in page


def test_many_layers_leave_one_bar_for_the_rest(tmp_path):
    many = [entry(f"block.{number}", [f"block.{number}"], 0.01 + number / 1e3) for number in range(100)]
    path = data.write(tmp_path, "run.json", with_layers(data.document(), many))
    main([str(path), "--html", str(tmp_path / "page.html")])
    assert "the other 76" in (tmp_path / "page.html").read_text()
