"""fixtures/compare reads runs: whole, plain, in folders, damaged, hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.common.errors import UserError
from fixtures.compare.__main__ import main
from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.load import load_run, load_runs
from fixtures.compare.reading.run import Blocks, Name
from fixtures.compare.writing.as_json import render as render_json
from fixtures.compare.writing.markdown import render as render_markdown
from fixtures.compare.writing.terminal import render
from tests.helpers import compare_data as data

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, -1, 1e308, 5e-324]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
SMALL = data.document(models=("resnet18",), twins=("tensorrt_fp16",))
SMALL["suite"]["predictions"][0]["photographs"] = SMALL["suite"]["predictions"][0]["photographs"][:1]
LEAVES = [path for path in data.leaves(SMALL) if path]


def test_a_run_of_ours_is_read_whole(tmp_path):
    run = load_run(data.write(tmp_path, "run.json", data.document()), pytest.fail)
    name = Name("resnet18", "tensorrt_fp16", 1, "test_latency")
    case = name._replace(test="")
    assert run.facts["jetpack"] == "6.2"
    assert run.facts["cpu"] == "12 × Cortex-A78AE"
    assert str(run.weights) == "calibrated-1, seed 0"
    assert len(run.timings[name].invocations[0].twin) == len(run.timings[name].invocations[0].eager) == 10
    assert run.figures["max_relative_error"][case] == 3e-3
    assert run.figures["top1_changed"][case] == 0
    assert run.figures["accuracy_top1"][case] == 0.98
    assert run.figures["host_build_peak_bytes"][case] == 900 * data.MIB
    assert run.sources["device_memory_source"][case] == "nvml"
    assert run.outcomes["test_latency[resnet18-tensorrt_fp16]"].passed
    assert run.predictions["resnet18", "tensorrt_fp16"]["bee_00.jpg"].name == "bee"


def test_eagers_own_row_is_read_from_either_side():
    document = data.document()
    extra = data.benchmark(document, "resnet18", "eager_fp32")["extra_info"]
    name = Name("resnet18", "eager_fp32", 1, "test_latency")
    as_twin = run_of(document, "run").timings[name].invocations
    extra["blocks_s"] = {"eager": extra["blocks_s"]["twin"]}
    assert run_of(document, "run").timings[name].invocations == as_twin == (Blocks(as_twin[0].twin, ()),)


def test_a_plain_file_keeps_its_latency():
    run = run_of(data.plain(data.document()), "run")
    timing = run.timings[Name("test_latency[resnet18-eager_fp32-1]", "", None)]
    assert timing.p50_s == pytest.approx(0.010, rel=0.05)
    assert len(timing.invocations[0].twin) == 10


def test_a_plain_file_without_rounds_falls_back_on_its_quartiles():
    document = data.plain(data.document())
    for bench in document["benchmarks"]:
        del bench["stats"]["data"]
    (timing, *_) = run_of(document, "run").timings.values()
    # √(π/2) × iqr / 1.349 / √rounds, with iqr a twentieth of the median and 30 rounds.
    assert timing.error == pytest.approx(1.2533 * 0.05 / 1.349 / 30**0.5, rel=1e-4)


def test_tests_of_one_name_in_two_files_stay_apart():
    document = data.plain(data.document(models=("resnet18",), twins=()))
    twin = {**document["benchmarks"][0], "fullname": "other/test_latency.py::same"}
    document["benchmarks"].append(twin)
    assert len(run_of(document, "run").timings) == 2


def test_a_folder_is_one_run_of_several_invocations(tmp_path):
    for seed in range(3):
        data.write(tmp_path, f"{seed}.json", data.document(seed=seed))
    run = load_run(tmp_path, pytest.fail)
    assert [len(timing.invocations) for timing in run.timings.values()] == [3] * 6


def test_an_unstable_invocation_is_left_out_if_others_are_stable(tmp_path):
    name = Name("resnet18", "tensorrt_fp16", 1, "test_latency")
    for seed, factor in enumerate((1, 1, 3)):
        document = data.slow_down(data.document(seed=seed), factor, "resnet18", "tensorrt_fp16")
        unstable = {"stable": False, "unstable_reason": f"drifted by {factor}"} if factor == 3 else {}
        data.benchmark(document, "resnet18", "tensorrt_fp16")["extra_info"].update(unstable)
        data.write(tmp_path, f"{seed}.json", document)
    timings = load_run(tmp_path, pytest.fail).timings
    assert [len(timing.invocations) for timing in timings.values()] == [3, 3, 2, 3, 3, 3]
    assert timings[name].unstable is None
    assert timings[name].p50_s == pytest.approx(0.002, rel=0.05)
    for seed in range(2):
        (tmp_path / f"{seed}.json").unlink()
    assert load_run(tmp_path, pytest.fail).timings[name].unstable == "drifted by 3"


def test_a_folder_may_hold_a_model_per_file(tmp_path):
    for model in data.MODELS:
        data.write(tmp_path, f"{model}.json", data.document(models=(model,)))
    assert {name.model for name in load_run(tmp_path, pytest.fail).timings} == set(data.MODELS)


def test_a_test_that_failed_in_one_invocation_has_failed(tmp_path):
    document = data.document()
    document["suite"]["cases"][0].update(outcome="failed", reason="got 3")
    data.write(tmp_path, "0.json", document)
    data.write(tmp_path, "1.json", data.document())
    assert load_run(tmp_path, pytest.fail).outcomes["test_latency[resnet18-eager_fp32]"].outcome == "failed"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("tensorrt", "10.9", "TensorRT"),
        ("gpu", "Thor", "GPU"),
        ("torch", "2.9", "torch"),
        ("driver", "99", "driver"),
        ("onnxruntime", "1.99", "ONNX Runtime"),
        ("torchvision", "0.99", "torchvision"),
        ("os", "Other", "system"),
    ],
)
def test_a_folder_of_several_machines_is_not_a_run(tmp_path, key, value, named):
    data.write(tmp_path, "0.json", data.document())
    data.write(tmp_path, "1.json", data.document(**{key: value}))
    with pytest.raises(UserError, match=f"differ in {named}.*history"):
        load_run(tmp_path, pytest.fail)


def test_a_folder_of_several_commits_is_reported(tmp_path):
    for number, commit in enumerate(("aaaa", "bbbb", "aaaa")):
        document = data.document(seed=number)
        document["commit_info"]["id"] = commit
        data.write(tmp_path, f"{number}.json", document)
    messages = []
    load_run(tmp_path, messages.append)
    assert messages == [f"{tmp_path}: one run, although its files are from 2 commits: aaaa, bbbb"]


def test_a_folder_alone_is_a_history_by_date(tmp_path):
    for name, date in (("b", "2026-01-01"), ("a", "2026-03-01"), ("c", "2026-02-01")):
        data.write(tmp_path, f"{name}.json", {**data.document(), "datetime": f"{date}T00:00:00"})
    assert [Path(run.label).name for run in load_runs([tmp_path], pytest.fail)] == ["b.json", "c.json", "a.json"]


def test_documents_of_another_kind_in_a_folder_are_left_out_with_a_line(tmp_path, capsys):
    """A folder of artefacts also has reports and settings."""
    data.write(tmp_path, "run.json", data.document())
    data.write(tmp_path, "report.json", {"schema": 1, "judgements": []})
    data.write(tmp_path, "list.json", [])
    messages = []
    assert len(load_runs([tmp_path], messages.append)) == 1
    assert messages == [f"{tmp_path / name}: not a run; left out" for name in ("list.json", "report.json")]
    assert load_run(tmp_path, messages.append).facts["jetpack"] == "6.2"
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().err.count("; left out\n") == 2
    (tmp_path / "run.json").write_text("[")  # A damaged file may be a run, so it is not skipped like other files.
    assert main([str(tmp_path)]) == 2
    (tmp_path / "run.json").unlink()
    assert main([str(tmp_path)]) == 2
    assert "none of its .json files is a run" in capsys.readouterr().err


FOREIGN = {
    "a model without a twin": {"extra_info": {"model": "resnet50", "requests": 100}},
    "a model of another kind": {"extra_info": {"model": {"depth": 50}, "twin": "b"}},
    "NaN": {"extra_info": {"loss": float("nan")}},
    "NaN for a median": {"stats": {"median": float("nan")}},
    "a text for a number": {"extra_info": {"stable": "yes"}},
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN.keys())
def test_another_project_s_benchmarks_never_stop_a_folder(tmp_path, fields):
    """Read correctly if possible, otherwise left out with a line."""
    data.write(tmp_path, "run.json", data.document())
    foreign = data.plain(data.document())
    foreign["benchmarks"][0].update(fields)
    path = data.write(tmp_path, "foreign.json", foreign)
    lines = []
    runs = load_runs([tmp_path], lines.append)
    assert len(runs) + len(lines) == 2 and all(
        line.startswith(str(path)) and line.endswith("; left out") for line in lines
    )
    assert not any("cut off" in line for line in lines)


@pytest.mark.parametrize("text", ["// settings\n{}", '{"benchmarks": [{"name": "BM_copy", "real_time": 3.0}]}', "[1,]",
                                  '{"benchmarks": {"BM_copy": 3}}'])  # fmt: skip
def test_other_programs_json_is_left_out_of_a_folder(tmp_path, text):
    data.write(tmp_path, "run.json", data.document())
    (tmp_path / "settings.json").write_text(text)
    lines = []
    assert len(load_runs([tmp_path], lines.append)) == 1 and len(lines) == 1


@pytest.mark.parametrize("text", ["", json.dumps(SMALL)[:5000], json.dumps(SMALL).replace(": 0.98", ": 0.98.1")])
def test_a_damaged_run_is_never_left_out_of_a_folder(tmp_path, text):
    data.write(tmp_path, "run.json", data.document())
    (tmp_path / "damaged.json").write_text(text)
    with pytest.raises(UserError, match="damaged.json: not a JSON document"):
        load_runs([tmp_path], pytest.fail)


def test_nan_in_a_run_is_named_with_its_place(tmp_path):
    path = data.write(tmp_path, "run.json", SMALL)
    path.write_text(path.read_text().replace('"top1": 0.98', '"top1": NaN'))
    with pytest.raises(UserError, match=r"suite.accuracy\[0\].top1: expected a finite number, got a number, nan"):
        load_run(path, pytest.fail)


def test_names_are_fit_to_be_printed():
    document = data.document(node="a\x1b[31m\nb\u202e\ud800")
    assert run_of(document, "run").facts["node"] == "a\\x1b[31m\\nb\\u202e\\ud800"
    assert len(run_of(data.document(node="x" * 10**6), "run").facts["node"]) == 200


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(LEAVES), ANYTHING), min_size=1, max_size=3))
def test_any_value_anywhere_is_compared_or_refused_in_one_line(changes):
    """Mutates a run as a user, a crash or an attacker would, and compares it with itself and with the whole one."""
    document = json.loads(json.dumps(SMALL))
    for path, value in changes:
        place = document
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # An earlier mutation removed this place.
    gate = parse_gate(DEFAULT_FAIL_ON)
    try:
        runs = [run_of(SMALL, "whole"), run_of(document, "mutant")]
        for compared in (runs, runs[::-1], [runs[1]] * 2, runs[1:]):
            report = make_report(compared, gate, allow_different=True)
            assert report.decision.exit_code in (0, 1, 2)
            text = "\n".join(render(report, colour=False)) + render_markdown(report) + render_json(report)
            assert all(letter.isprintable() or letter == "\n" for letter in text)
    except UserError as error:
        assert "\n" not in str(error)


def test_a_reason_is_its_first_line_without_type_and_drawing():
    document = data.document()
    reason = "AssertionError: resnet18 x (drawing: /tmp/a/b.png, eager on the left): error 3 is above 1\n  got 3"
    document["suite"]["cases"][0].update(outcome="failed", reason=reason)
    reasons = {outcome.reason for outcome in run_of(document, "out.json").outcomes.values()}
    assert reasons == {"", "resnet18 x: error 3 is above 1"}
