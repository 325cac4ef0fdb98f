"""Tests of whole runs on models of variable height and width: rows, mutants, comparison, and what is refused."""

from __future__ import annotations

import json

import pytest

from fixtures.compare.reading.load import load_file
from fixtures.compare.reading.run import Name

TWIN = "onnxruntime_fp32"


@pytest.fixture(scope="module")
def suite(root, run_pytest, testrun_folder, tmp_path_factory):
    """Runs `pytest benchmarks` on models of tests/model_files; returns the finished process and the JSON's path."""

    def run(models, *arguments):
        out = tmp_path_factory.mktemp("run") / "out.json"
        command = [root / "benchmarks", "-p", "no:cacheprovider", "--model-file"]
        command += [root / "tests" / "model_files" / "open_models.py", "--models", models, "--twins", TWIN]
        command += ["--engine-dir", testrun_folder / "sizes_engines", "--benchmark-max-time", "0.05"]
        return run_pytest([*command, "--benchmark-json", out, *arguments]), out

    return run


@pytest.fixture(scope="module")
def dense(suite):
    done, out = suite("tiny_detector,tiny_segmenter", "-k", "sizes or sensitivity or agreement")
    assert done.returncode == 0, done.stdout
    table = done.stdout.partition("= sizes: one engine")[2].partition("= verdict")[0]
    assert table.count("as eager") == 6 and "48×48" in table and "80×112" in table
    return out


def test_a_detector_and_a_segmenter_agree_at_every_size_and_after_every_switch(dense):
    rows = json.loads(dense.read_text())["suite"]["sizes"]
    assert [row["model"] for row in rows] == ["tiny_detector", "tiny_segmenter"]
    for row in rows:
        assert row["ok"] and row["twin"] == TWIN and 0 < row["max_relative_error"] < 1e-4
        assert len(row["switches"]) == 6 and all(one["ok"] and one["first_ok"] for one in row["switches"])
        assert {tuple(one["size"]) for one in row["switches"]} == {(48, 48), (64, 64), (80, 112)}


def test_both_mutants_are_among_those_refused(dense):
    for row in json.loads(dense.read_text())["suite"]["mutants"]:
        assert row["refused"] == row["total"] > 10 and not row["misjudged"]


def test_a_comparison_reads_the_cost_of_a_switch_and_the_error(dense):
    figures = load_file(dense).figures
    name = Name("tiny_segmenter", TWIN, 1)
    assert figures["first_call_after_switch_s"][name] > 0 and figures["sizes_error"][name] > 0


def test_a_size_that_the_export_froze_fails_and_names_the_switch(suite):
    done, _ = suite("frozen", "-k", "sizes or agreement")
    assert done.returncode == 1 and "48×48 after 64×64, first call: output does not agree: got shape" in done.stdout
    assert "1 failed" in done.stdout, "at the optimal size it is right"


def test_a_model_that_cannot_be_exported_with_open_sizes_says_so_in_one_line(suite):
    done, _ = suite("pooled", "-k", "sizes")
    assert done.returncode == 1 and "leave out its sizes" in done.stdout and "Traceback" not in done.stdout


def test_models_of_one_size_collect_nothing_of_it(root, run_pytest, tmp_path):
    command = [root / "benchmarks", "--collect-only", "-q", "-p", "no:cacheprovider", "--engine-dir", tmp_path]
    done = run_pytest([*command, "--models", "resnet18", "--twins", TWIN])
    assert done.returncode == 0 and "test_latency" in done.stdout and "test_sizes" not in done.stdout
