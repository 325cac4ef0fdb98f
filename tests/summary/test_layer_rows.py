"""The layers' table of the summary: the slowest first, one row for the others, within the terminal's width."""

from __future__ import annotations

import pytest

from fixtures.common.table import fitted
from fixtures.run.record import Record
from fixtures.summary.layer_rows import GIVES_WAY, LEFT, MOST_LAYERS, layer_rows, missing_lines


def record_of(*milliseconds, batch_size=1, missing=None):
    layers = [
        {"layer": f"layer{place}.conv + bn + relu", "name": f"kernel {place}", "modules": [], "p50_s": ms / 1e3,
         "p10_s": ms / 1e3, "fastest_s": ms / 1e3, "precision": "fp16" if place % 2 else None}
        for place, ms in enumerate(milliseconds)
    ]  # fmt: skip
    record = Record()
    record.add("layers", "resnet18", "tensorrt_fp16", batch_size, layers=layers, missing=missing)
    return record


def test_the_slowest_layers_come_first_and_the_others_are_one_row():
    rows = layer_rows(record_of(*range(1, MOST_LAYERS + 4)))
    assert len(rows) == MOST_LAYERS + 1
    assert (rows[0]["model"], rows[0]["twin"], rows[1]["model"]) == ("resnet18", "tensorrt_fp16", "")
    assert [row["ms"] for row in rows[:2]] == ["11.000", "10.000"]
    assert [row["precision"] for row in rows[:2]] == ["–", "fp16"]
    assert (rows[-1]["layer"], rows[-1]["ms"]) == ("the other 3", "6.000")
    assert rows[0]["share"] == "17%"


def test_no_layers_no_rows():
    assert layer_rows(Record()) == [] and missing_lines(Record()) == []


def test_the_batch_size_and_what_is_missing_are_shown():
    record = record_of(1, batch_size=8, missing="layers are 80% of a call (10 ms): gaps between kernels (2 ms)")
    assert layer_rows(record)[0]["twin"] == "tensorrt_fp16 batch 8"
    assert missing_lines(record) == [
        " resnet18 tensorrt_fp16: layers are 80% of a call (10 ms): gaps between kernels (2 ms)"
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_within_the_width(width):
    lines, _ = fitted(layer_rows(record_of(*range(1, 30))), width, LEFT, GIVES_WAY)
    assert max(map(len, lines)) <= width
    assert "ms" in lines[0] and "layer" in lines[0]
