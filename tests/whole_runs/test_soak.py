"""One run with --soak: a model that leaks, one whose outputs drift, and one that does neither."""

from __future__ import annotations

import json

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import Compared

EAGER, ENGINE = "eager_fp32", "onnxruntime_fp32"


@pytest.fixture(scope="module")
def run(root, run_pytest, tmp_path_factory, once):
    """(what was printed, the document) of the run."""

    def make():
        folder = tmp_path_factory.mktemp("soak")
        command = ["benchmarks/test_soak.py", "-p", "no:cacheprovider", "--soak", "6s", "--twins", ENGINE]
        command += ["--model-file", str(root / "tests" / "model_files" / "leaking_models.py")]
        command += [
            "-k",
            "eager_fp32 or tight",
            "--models",
            "leaking,drifting,tight",
            "--engine-dir",
            str(folder / "engines"),
        ]
        done = run_pytest([*command, "--benchmark-json", str(folder / "out.json")], environment={"COLUMNS": "200"})
        return done.stdout, json.loads((folder / "out.json").read_text())

    return once("soak", make)


def soaked(document, model, twin):
    return data.row(document, "soak", model, twin)


def test_exactly_the_cases_at_fault_fail_and_say_why(run):
    _, document = run
    reasons = {(case["model"], case["twin"]): case["reason"] for case in document["suite"]["cases"]}
    failed = {case: reason for case, reason in reasons.items() if reason}
    assert set(failed) == {("leaking", EAGER), ("drifting", EAGER)} and len(reasons) == 4
    assert "host memory per call grows by 4." in failed["leaking", EAGER]
    assert "the outputs at the end differ from the start" in failed["drifting", EAGER]


def test_the_leak_is_measured(run):
    found = soaked(run[1], "leaking", EAGER)["host"]
    assert found["leaks"] and found["per_call_bytes"] == pytest.approx(4096, rel=0.2)


def test_each_engine_was_opened_a_hundred_times_and_left_nothing(run):
    row = soaked(run[1], "tight", ENGINE)
    assert row["openings"] == 100 and not row["reopened_host"]["leaks"] and row["outputs"]["bit_equal"]
    assert soaked(run[1], "tight", EAGER)["openings"] is None, "eager has no engine"


def test_samples_are_kept_for_a_chart(run):
    row = soaked(run[1], "tight", ENGINE)
    lengths = {len(values) for values in row["samples"].values()}
    assert lengths == {len(row["samples"]["at_s"])} and 25 <= min(lengths) <= 62
    assert row["samples"]["calls"][-1] == row["calls"] and row["seconds"] > 5.5


def test_the_summary_has_a_table_of_soaks(run):
    out, _ = run
    assert "soak: growth per call" in out
    (line,) = [line for line in out.splitlines() if line.split()[:2] == ["leaking", EAGER] and "leaks" in line]
    assert "4.0 KiB leaks" in line or "4.1 KiB leaks" in line


def test_runs_are_compared_by_the_growth_of_their_soaks(run, tmp_path, capsys):
    _, document = run
    compared = Compared(tmp_path, capsys)
    worse = json.loads(json.dumps(document))
    soaked(worse, "tight", ENGINE)["host"]["per_call_bytes"] = 8192.0
    worse["suite"]["cases"] = document["suite"]["cases"] = []
    assert compared(document, worse, options=("--fail-on", "memory")) == 1
    assert compared.verdict("soak_host_bytes", ("tight", ENGINE)) == "WORSE"
    assert compared(document, document, options=("--fail-on", "memory")) == 0


def test_nothing_is_soaked_unless_it_is_asked_for(root, run_pytest, tmp_path):
    done = run_pytest(["benchmarks", "--collect-only", "-q", "--quick", "--engine-dir", str(tmp_path)])
    assert done.returncode == 0 and "test_soak" not in done.stdout
