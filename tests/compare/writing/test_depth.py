"""The errors of modules: reading them from a run and drawing them on its page."""

from __future__ import annotations

import pytest

from twins.common.errors import UserError
from twins.compare.reading.explained import Explained, ModuleError, read_explained
from twins.compare.reading.fields import Field
from twins.compare.writing.drawing import Style
from twins.compare.writing.single_run.depth import depth_chart

ROW = {
    "model": "net",
    "twin": "onnxruntime_fp32",
    "first": "layer2",
    "finding": "layer2 <b> errs",
    "modules": [
        {"name": "layer1", "error": 1e-7, "own_error": 1e-7},
        {"name": "layer2", "error": 0.05, "own_error": 0.05},
        {"name": "layer3", "error": None, "own_error": 0},
    ],
}


def read(**changed):
    return read_explained(Field({"explain": [{**ROW, **changed}]}, "run.json: suite"))


def test_modules_are_read_in_order_and_a_missing_error_is_none():
    found = read()["net", "onnxruntime_fp32"]
    assert found.modules[1:] == (ModuleError("layer2", 0.05, 0.05), ModuleError("layer3", None, 0.0))
    assert (found.first, found.finding) == ("layer2", "layer2 <b> errs")
    assert read_explained(Field({}, "run.json: suite")) == {}


def test_a_wrong_value_is_refused_with_its_place():
    with pytest.raises(UserError, match=r"modules\[0\].error: expected a number"):
        read(modules=[{"name": "layer1", "error": "much", "own_error": 0}])
    with pytest.raises(UserError, match="without model or twin"):
        read(twin=None)


def test_the_curve_has_a_line_for_each_run_and_marks_the_first_module():
    pytest.importorskip("matplotlib")
    look, one = Style(0, "o", "●"), read()["net", "onnxruntime_fp32"]
    alone, none = (
        depth_chart(("net", "x"), [one], look),
        depth_chart(("net", "x"), [Explained(one.modules, "", "")], look),
    )
    both = depth_chart(("net", "x"), [one, one], look)
    assert alone.svg.count("stroke-dasharray") == none.svg.count("stroke-dasharray") + 1
    assert both.svg.count("stroke-dasharray") == alone.svg.count("stroke-dasharray") + 1
    assert "dashed line is the base" in both.description and "dashed line is the base" not in alone.description
    assert alone.rows[1] == ("layer2", "5.0e-02", "5.0e-02") and alone.rows[2][1] == "–"
