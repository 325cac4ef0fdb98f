"""Tests of benchmarks/validation: its emulated twins, what it measures of a twin, and what counts as the worst."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from benchmarks.validation import repeatability, tolerances
from benchmarks.validation.emulated import as_tf32, emulated
from benchmarks.validation.seeded import Seeded
from fixtures.models import zoo
from tests.model_files import tiny_models

TINY = next(spec for spec in tiny_models.MODELS if spec.name == "tiny")


@pytest.fixture(scope="module")
def case():
    return Seeded(TINY, seed=0, step=10)


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_an_emulated_twin_rounds_to_ten_bits_and_puts_the_weights_back(precision):
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1 + 2.0**-12)
    before, one = layer.weight.detach().clone(), torch.ones(1, 1)
    with emulated(layer, precision) as run:
        assert run(one).item() == 1.0
        assert run(one * (1 + 2.0**-10)).item() == 1 + 2.0**-10
    assert torch.equal(layer.weight, before) and layer(one).item() != 1.0


def test_tf32_is_rounded_to_nearest():
    step = 2.0**-10
    assert as_tf32(torch.tensor([1 + 0.4 * step, 1 + 0.6 * step, -1 - 0.6 * step])).tolist() == [1, 1 + step, -1 - step]


def test_a_twin_s_figures_are_those_of_the_suite_s_own_checks(case):
    reference = case.reference()
    right = tolerances.measured(case, "onnxruntime_fp32", reference)
    rounded = tolerances.measured(case, "emulated_fp16", reference)
    assert right["agrees"] and right["decides_alike"] and right["repeats"] and right["flips"] == 0
    assert 0 < right["error"] < 2e-5 < rounded["error"] < 0.1
    assert right["limit"] == 2e-5 and case.weights_kind == "own"


def test_rows_are_written_twin_by_twin_and_one_that_fails_costs_itself_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.MODELS, "tiny", TINY)
    tolerances.write_rows("tiny", 0, ["emulated_int3", "emulated_fp16"], "cpu", tmp_path / "rows.json")
    failed, row = json.loads((tmp_path / "rows.json").read_text())
    assert failed["failed"].startswith("KeyError") and row["twin"] == "emulated_fp16" and row["error"] > 0
    assert "| tiny | emulated_int3 | 0 | failed: KeyError" in tolerances.shown(failed)
    assert tolerances.shown(row).startswith("| tiny | emulated_fp16 | 0 | ")


def test_a_process_that_dies_is_a_failed_row(monkeypatch):
    """The model is unknown to the process, as if it had been killed before its first row."""
    monkeypatch.setitem(zoo.MODELS, "tiny", TINY)
    asked = argparse.Namespace(twins=["emulated_fp16"], device="cpu")
    (row,) = tolerances._in_process(("tiny", 0), asked)
    assert (row["twin"], row["seed"]) == ("emulated_fp16", 0) and "KeyError" in row["failed"]


def test_a_twin_that_varies_or_fails_is_left_out_of_the_worst():
    row = {"model": "m", "twin": "x_tf32", "seed": 0, "error": 0.01, "limit": 0.04, "repeats": True}
    racing = {**row, "seed": 1, "error": 0.2, "repeats": False, "distinct": 19, "calls": 20}
    failed = {"model": "m", "twin": "x_fp16", "seed": 0, "failed": "no"}
    lines = list(tolerances.worst_lines([row, racing, failed]))
    assert lines[2].startswith("| x_tf32 | m | 1 | 4.0e-02 | 4.0 | 1.0e-02 |")
    assert lines[3:] == [
        "left out: m x_tf32, seed 1: 19 different outputs in 20 calls",
        "left out: m x_fp16, seed 0: no",
    ]


def test_repeatability_counts_outputs_and_shows_them(case):
    row = repeatability.measured(case, "onnxruntime_fp32", 3)
    assert (row["distinct"], row["calls"], row["spread"], row["same_best"]) == (1, 3, 0.0, 3) and row[
        "error_max"
    ] < 2e-5
    line = repeatability.shown({"model": "tiny", "twin": "onnxruntime_fp32", "threads": 1, **row})
    assert line.startswith("| tiny | onnxruntime_fp32 | 1 | 1 of 3 | 0.0e+00 | 2.0e-06 | ")
    assert "failed" in repeatability.measured(case, "emulated_int3", 3)
