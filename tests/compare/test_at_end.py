"""--baseline: a run is compared with an earlier one when it ends, in a pytest of its own."""

from __future__ import annotations

import json
import types
from importlib.metadata import version

import pytest

from fixtures.common.versions import release
from fixtures.compare.__main__ import main
from fixtures.compare.at_end import Asked, compare_at_end, other_machine
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.reading.document import run_of
from fixtures.plugins.baseline import _asked
from fixtures.run.settings import SETTINGS
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
# pytest-benchmark before 5.3 empties the file of --benchmark-json while pytest reads its options, before any code of
# ours is loaded; docs/faults.md says so.
EMPTIED = release(version("pytest-benchmark")) < (5, 3)
PLUGINS = ("-p", "twins.plugins.options", "-p", "twins.plugins.run_json", "-p", "twins.plugins.baseline",
           "-p", "no:cacheprovider",
           "-p", "no:hypothesispytest", "--benchmark-warmup=off")  # fmt: skip
# One test whose measured time is a constant, so that a run differs from another only where the file was edited.
MEASURED = """
    def test_measured(benchmark):
        benchmark.pedantic(lambda: None, rounds=30)
        benchmark.stats.stats.data[:] = [0.001] * 30
        benchmark.extra_info["latency_p50_s"] = 0.001
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs one small test with options, in a pytest within this one, on a terminal that no path fills."""
    pytester.makepyfile(MEASURED)
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *options: pytester.runpytest_inprocess(*PLUGINS, *options)


def edited(path, factor):
    """Makes the run in the file slower by this factor."""
    document = json.loads(path.read_text())
    for bench in document["benchmarks"]:
        bench["extra_info"]["latency_p50_s"] *= factor
        bench["stats"].update(median=bench["stats"]["median"] * factor, data=[0.001 * factor] * 30)
    path.write_text(json.dumps(document))


def test_a_run_is_compared_with_its_baseline_as_it_was_at_the_start(run, pytester):
    """It must not overwrite it either: compared with itself it would pass, and then be the base."""
    base = pytester.path / "runs" / "base.json"
    base.parent.mkdir()
    assert run("--benchmark-json", str(base)).ret == 0
    edited(base, 0.5)
    before = base.read_bytes()
    for baseline, written in ((base, base), (base.parent, base), (base.parent, base.with_name("new.json"))):
        refused = run("--baseline", str(baseline), "--benchmark-json", str(written))
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines(["ERROR: --baseline *: --benchmark-json would write this run over its own *"])
        if EMPTIED and written == base:
            base.write_bytes(before)
        assert sorted(base.parent.iterdir()) == [base]
        assert base.read_bytes() == before
    pytester.makeconftest(
        f"""
        from fixtures.run.record import record_of
        def pytest_runtest_teardown(): open({str(base)!r}, 'w').close()
        def pytest_unconfigure(config): print("endings:", record_of(config).endings)
        """
    )
    compared = run("--baseline", str(base), "--benchmark-json", "new.json")
    assert compared.ret == 1
    compared.stdout.fnmatch_lines([f"endings: *'FAIL', 'against {base}: Regression: 1 finding*"])
    compared.stdout.fnmatch_lines(["*Regression: 1 finding*", "*new: this run*"])
    new = pytester.path / "new.json"
    edited(new, 0.5)
    assert run("--baseline", str(new), "--fail-on", "memory,missing").ret == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--undecided", "fail"), "ERROR: --undecided belongs to the gate of --baseline: name a baseline as well"),
        (("--baseline-engines", "."), "ERROR: --baseline-engines belongs to --baseline*"),
        (("--baseline-engines", "absent"), "ERROR: --baseline-engines 'absent' is not a folder"),
        (("--builds", "0"), "ERROR: --builds '0' must be a positive integer"),
    ],
)
def test_wrong_use_of_further_measurements_is_one_line(run, options, said):
    refused = run(*options)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([said])


def test_what_is_undecided_can_be_measured_again_at_the_end():
    """The baseline and this run are passed on, and the report on all measurements decides, unless nothing was timed."""
    handed = []

    def again(runs, judge):
        handed.append([run.label for run in runs])
        return judge([runs[0], run_of(data.document(seed=2), "this run")])

    slow = data.slow_down(data.document(seed=1), 1.3, *TWIN)
    assert compare_at_end(BASE, slow, GATE, everything)[0] == 1
    assert compare_at_end(BASE, slow, GATE, everything, again=again)[0] == 0
    assert handed == [["base.json", "this run"]]
    untimed = Asked(lambda model, twin: True, timed=False)
    compare_at_end(BASE, slow, GATE, untimed, again=again)
    assert len(handed) == 1


BASE = run_of(data.document(), "base.json")
GATE = parse_gate(DEFAULT_FAIL_ON)


everything = Asked(lambda model, twin: True)


def test_the_end_of_a_run_is_compared_with_its_baseline():
    code, _, lines = compare_at_end(BASE, data.document(seed=1), GATE, everything)
    assert code == 0
    assert any("new: this run" in line for line in lines)
    code, _, lines = compare_at_end(BASE, data.slow_down(data.document(seed=1), 1.2, *TWIN), GATE, everything)
    assert code == 1
    assert not any("\x1b" in line or "\n" in line for line in lines)


def test_cases_that_the_run_did_not_select_are_named_but_not_missing():
    smaller = data.document(models=("resnet18",), twins=("tensorrt_fp16",), seed=1)
    assert compare_at_end(BASE, smaller, GATE, everything)[0] == 1
    asked = {"resnet18": ("", "eager_fp32", "tensorrt_fp16")}
    code, _, lines = compare_at_end(BASE, smaller, GATE, Asked(lambda model, twin: twin in asked.get(model, ())))
    assert code == 0
    left_out = "resnet18 tensorrt_fp32, mobilenet_v2 eager_fp32, mobilenet_v2 tensorrt_fp32, mobilenet_v2 tensorrt_fp16"
    assert " ".join(lines[:2]) == f"Not compared, because this run did not select these cases: {left_out}"
    assert not any("vanished" in line for line in lines)
    plain = run_of(data.plain(data.document()), "plain.json")
    *_, lines = compare_at_end(plain, data.plain(data.document(seed=1)), GATE, Asked(lambda model, twin: not model))
    assert not any("Not compared" in line for line in lines)


def only(*functions):
    return Asked(lambda model, twin: True, lambda test: test.partition("[")[0] in functions)


def part(document, section="benchmarks"):
    """A run of test_latency alone: no other test, and no figure of one; or (`suite`) of the others alone."""
    if section == "benchmarks":
        document["suite"].update(agreement=[], accuracy=[], predictions=[], startup=[])
    else:
        document["benchmarks"] = []
    cases = document["suite"]["cases"]
    document["suite"]["cases"] = [case for case in cases if ("latency" in case["nodeid"]) == (section == "benchmarks")]
    return document


def test_a_run_of_some_tests_is_compared_in_what_it_ran():
    code, _, lines = compare_at_end(BASE, part(data.document(seed=1)), GATE, everything)
    assert code == 1 and any("vanished" in line for line in lines)
    code, _, lines = compare_at_end(BASE, part(data.document(seed=1)), GATE, only("test_latency"))
    assert code == 0, lines
    assert lines[0] == "Not compared, because this run did not select these tests: test_agreement"
    assert not any("vanished" in line or "figure missing" in line for line in lines)
    slower = data.slow_down(part(data.document(seed=1)), 1.2, *TWIN)
    assert compare_at_end(BASE, slower, GATE, only("test_latency"))[0] == 1
    assert compare_at_end(BASE, part(data.document(seed=1), "suite"), GATE, only("test_agreement"))[0] == 0


def test_a_test_that_was_selected_and_did_not_run_is_missed():
    lost = part(data.document(seed=1))
    lost["benchmarks"], lost["suite"]["cases"] = lost["benchmarks"][:-1], lost["suite"]["cases"][:-1]
    code, _, lines = compare_at_end(BASE, lost, GATE, only("test_latency"))
    assert code == 1 and any("vanished" in line and "mobilenet_v2 tensorrt_fp16" in line for line in lines)


def test_a_run_that_times_nothing_misses_no_time():
    untimed = data.document(seed=1)
    untimed["benchmarks"] = []
    assert compare_at_end(BASE, untimed, GATE, everything)[0] == 1
    assert compare_at_end(BASE, untimed, GATE, Asked(lambda model, twin: True, timed=False))[0] == 0


@pytest.mark.parametrize(
    "options",
    [("-k", "not other"), ("-k", "measured"), ("--benchmark-only",), ("--deselect", "test_two.py::test_other")],
)
def test_pytests_own_selection_decides_what_a_run_must_have(pytester, options):
    both = MEASURED + "\n    def test_other(): pass"
    pytester.makepyfile(test_two=both)
    assert pytester.runpytest_inprocess(*PLUGINS, "--benchmark-json", "base.json").ret == 0
    base = pytester.path / "base.json"
    document = json.loads(base.read_text())
    nodes = {f"test_two.py::{test}": "passed" for test in ("test_measured", "test_other")}
    cases = [
        {"nodeid": node, "model": "m", "twin": None, "outcome": ended, "reason": None} for node, ended in nodes.items()
    ]
    document["suite"]["cases"] = cases
    base.write_text(json.dumps(document))
    some = pytester.runpytest_inprocess(*PLUGINS, "--baseline", "base.json", "--fail-on", "missing", *options)
    assert some.ret == 0, some.stdout.str()
    some.stdout.fnmatch_lines(["Not compared, because this run did not select these tests: test_other*"])
    pytester.makepyfile(test_two=MEASURED)  # What is gone counts as missing, unless other tests were named.
    gone = pytester.runpytest_inprocess(*PLUGINS, "--baseline", "base.json", "--fail-on", "missing")
    assert gone.ret == 1
    named = pytester.runpytest_inprocess(*PLUGINS, "--baseline", "base.json", "--fail-on", "missing", "test_two.py")
    assert named.ret == 0


@pytest.mark.parametrize("named", ["cpu_fp32", None])
def test_models_and_named_twins_decide_what_a_run_must_have(named):
    """Default twins do not: those of a TensorRT that no longer works must count as missing."""
    stash = {SETTINGS: types.SimpleNamespace(models=("resnet18",), twins=("cpu_fp32",))}
    options = {"twins": named}
    config = types.SimpleNamespace(stash=stash, args=[], getoption=options.get)
    asked = _asked(config).case
    assert all(asked("resnet18", twin) for twin in ("", "eager_fp32", "cpu_fp32"))
    assert asked("resnet18", "tensorrt_fp16") is (named is None)
    assert not any(asked("vgg16", twin) for twin in ("", "eager_fp32", "cpu_fp32"))
    assert asked("", "")  # A test without a model.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fail-on", "latency"), "--fail-on is the gate of --baseline: name a baseline as well"),
        (("--fail-on", "latncy", "--baseline", "absent.json"), "--fail-on: 'latncy' is unknown; *"),
    ],
)
def test_a_gate_without_a_baseline_or_of_unknown_names_is_refused(run, options, said):
    refused = run(*options)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_a_baseline_of_another_machine_is_refused_before_anything_runs(run, pytester):
    assert run("--benchmark-json", "base.json").ret == 0
    base = pytester.path / "base.json"
    document = json.loads(base.read_text())
    document["machine_info"]["cpu"] = {"brand_raw": "Xeon", "count": 99}
    base.write_text(json.dumps(document))
    refused = run("--baseline", "base.json")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["ERROR: --baseline base.json is from another machine*: CPU 99 × Xeon in the baseline,*"]
    )
    assert "passed" not in refused.stdout.str()
    assert run("--baseline", "base.json", "--allow-different").ret != pytest.ExitCode.USAGE_ERROR


def test_the_machine_is_the_same_by_what_both_runs_say():
    info = data.document()["machine_info"]
    assert other_machine(BASE, info, {}) == ""
    assert other_machine(BASE, {**info, "power_mode": "15W"}, {}) == "power mode MAXN in the baseline, 15W here"
    assert other_machine(BASE, {**info, "jetpack": "7.0", "torch": "3.0"}, {}) == "", "software is what is compared"


def test_a_baseline_that_cannot_be_read_is_refused_before_anything_runs(run, pytester):
    refused = run("--baseline", "absent.json")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: --baseline: absent.json: cannot be read: No such file or directory"])
    assert "passed" not in refused.stdout.str()


def test_the_headline_comes_from_the_report_and_lines_fit_the_width():
    slow = data.slow_down(data.document(seed=1), 1.3, *TWIN)
    ended = compare_at_end(BASE, slow, GATE, only("test_latency"), width=70)
    assert ended.headline.startswith("Regression: 1 finding; worst: resnet18 tensorrt_fp16, latency")
    assert "--fail-on" not in ended.headline and max(map(len, ended.lines)) <= 70


def test_an_interrupted_run_is_neither_a_base_nor_complete(run, pytester, capsys):
    pytester.makepyfile(
        test_two="""
        def test_interrupted():
            import pytest
            pytest.exit("as Ctrl-C does")
    """
    )
    whole, cut = pytester.path / "whole.json", pytester.path / "cut.json"
    assert run("--benchmark-json", str(whole), "-k", "measured").ret == 0
    assert run("--benchmark-json", str(cut)).ret == pytest.ExitCode.INTERRUPTED
    assert [json.loads(path.read_text())["suite"]["interrupted"] for path in (whole, cut)] == [False, True]
    refused = run("--baseline", str(cut), "-k", "measured")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: --baseline *cut.json is of a run that was interrupted: give a whole *"])
    assert run("--baseline", str(cut), "-k", "measured", "--allow-different").ret == 0
    capsys.readouterr()
    assert main([str(whole), str(cut)]) == 2
    assert "interrupted: no in the base, yes in the new run" in capsys.readouterr().out
    assert main([str(cut)]) == 0 and "interrupted before its end: 1 benchmark measured" in capsys.readouterr().out
