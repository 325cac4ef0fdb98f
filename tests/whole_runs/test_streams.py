"""Tests of whole runs with --streams: rows, table, comparison; nothing without it; a race fails."""

from __future__ import annotations

import json

import pytest

from fixtures.compare.reading.load import load_file
from fixtures.compare.reading.run import Name
from fixtures.compare.writing.single_run import figures as single_figures

TWIN = "onnxruntime_fp32"


@pytest.fixture(scope="module")
def suite(root, run_pytest, testrun_folder, tmp_path_factory):
    """Runs `pytest benchmarks` on a model of tests/model_files; returns the finished process and the JSON's path."""

    def run(model, *arguments):
        out = tmp_path_factory.mktemp("run") / "out.json"
        command = [root / "benchmarks", "-p", "no:cacheprovider", "--model-file"]
        command += [root / "tests" / "model_files" / "racing_models.py", "--models", model, "--twins", TWIN]
        command += ["--engine-dir", testrun_folder / "streams_engines", "--benchmark-max-time", "0.05"]
        return run_pytest([*command, "--benchmark-json", out, *arguments]), out

    return run


@pytest.fixture(scope="module")
def steady(suite):
    done, out = suite("steady", "--streams", "1,2", "-k", "streams or sensitivity or latency")
    assert done.returncode == 0, done.stdout
    return done, out


def test_each_number_of_streams_has_a_row_and_a_place_in_the_table(steady):
    done, out = steady
    rows = json.loads(out.read_text())["suite"]["streams"]
    assert [(row["twin"], row["streams"]) for row in rows] == [
        ("eager_fp32", 1),
        ("eager_fp32", 2),
        (TWIN, 1),
        (TWIN, 2),
    ]
    for row in rows:
        low, high = row["throughput_ci95"]
        assert row["ok"] and row["differing"] == 0 and row["spread_limit"] == 0 and row["images"] == row["streams"] + 1
        assert 0 < low <= row["throughput_fps"] <= high and 0 < row["latency_p50_s"] <= row["latency_p95_s"]
        assert (row["host_context_bytes"] is None) == (row["streams"] == 1) and row["device_context_bytes"] is None
    table = done.stdout.partition("= streams: contexts")[2].partition("= end-to-end")[0]
    assert table.count("as serial") == 4 and "images/s" in table


def test_the_mutant_of_streams_is_among_those_refused(steady):
    (row,) = json.loads(steady[1].read_text())["suite"]["mutants"]
    assert row["refused"] == row["total"] and not row["misjudged"]
    assert "one output buffer for all streams" not in row["left_out"]


def test_a_comparison_reads_them(steady):
    run = load_file(steady[1])
    assert Name("steady", TWIN, 1, "2_streams") in run.figures["host_context_bytes"]
    assert str(Name("steady", TWIN, 1, "2_streams")) == f"steady {TWIN} 2 streams"
    metrics, rows = single_figures.figures(run)
    assert f"steady {TWIN} 2 streams" in {str(name) for name, _ in rows}
    assert "host memory of a context" in [metric.title for metric in metrics]


def test_without_the_option_nothing_of_it_is_collected(suite):
    done, _ = suite("steady", "--collect-only", "-q")
    assert done.returncode == 0 and "test_latency" in done.stdout and "test_streams" not in done.stdout


def test_a_model_that_races_fails_in_streams_alone_and_says_where(suite):
    done, out = suite("racing", "--streams", "1,2", "-k", "streams and eager or repeatability")
    cases = {case["nodeid"].partition("::")[2]: case for case in json.loads(out.read_text())["suite"]["cases"]}
    failed = {name for name, case in cases.items() if case["outcome"] != "passed"}
    assert done.returncode == 1 and failed == {"test_streams[racing-eager_fp32-2]"}, done.stdout
    assert "racing eager_fp32, 2 streams: do not give the outputs of serial calls" in done.stdout
    assert "The streams disturb each other" in done.stdout and "in step" in done.stdout
