"""Tests of what goes wrong with a case: each fails its case with a one-line reason, not the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import psutil
import pytest

from fixtures.common.errors import Unsupported, UserError
from fixtures.plugins import cases, faults
from fixtures.plugins.faults import known_reason
from fixtures.run import watchdog
from fixtures.run.process import WorkerFailed, WorkerUnsupported
from fixtures.run.session import Session
from fixtures.run.settings import SETTINGS
from tests.helpers.cases import OF_SUITE


def arguments_of(root, folder, models, *arguments):
    """pytest's arguments for the suite on the models of tests/model_files/tiny_models.py."""
    start = [str(root / "benchmarks"), "-p", "no:cacheprovider", "--models", models]
    start += ["--model-file", str(root / "tests" / "model_files" / "tiny_models.py"), "--twins", "onnxruntime_fp32"]
    start += ["--engine-dir", str(folder / "engines"), "--benchmark-json", str(folder / "out.json")]
    return [*start, "--benchmark-max-time", "0.02", *arguments]


# By model: how the message starts. Faults occur in the building process or in the suite's own.
FAULTS = {
    "hungry": "build of hungry onnxruntime_fp32 failed: RuntimeError: ",
    "device_hungry": "build of device_hungry onnxruntime_fp32 failed: OutOfMemoryError: CUDA out of memory",
    "killed": "build of killed onnxruntime_fp32 was killed (SIGKILL), ",
    "full": "build of full onnxruntime_fp32 failed: OSError: [Errno 28] No space left on device: 'graph.onnx'",
    "starved": "memory ran out (RuntimeError: ",
    "lost": "the GPU failed (RuntimeError: CUDA error: unspecified launch failure",
}


@pytest.fixture(scope="module")
def faulty(root, run_pytest, tmp_path_factory, once):
    """One run of the agreement test on a model for each fault, and a last one that works."""

    def make():
        folder = tmp_path_factory.mktemp("faults")
        models = ",".join([*FAULTS, "tiny"])
        done = run_pytest(arguments_of(root, folder, models, "-k", "test_agreement"))
        document = json.loads((folder / "out.json").read_text())
        return done, {case["model"]: case for case in document["suite"]["cases"]}, document, folder

    return once("faulty_cases", make)


def test_the_rest_of_the_run_goes_on_and_the_run_fails(faulty):
    done, cases, document, _ = faulty
    assert done.returncode == 1 and cases["tiny"]["outcome"] == "passed"
    assert [row["model"] for row in document["suite"]["agreement"]] == ["tiny"], "no figure where there is none"


@pytest.mark.parametrize("model", FAULTS)
def test_the_case_is_marked_with_its_reason_in_one_line(faulty, model):
    done, cases, _, _ = faulty
    assert cases[model]["outcome"] in ("failed", "error")
    assert cases[model]["reason"].startswith(FAULTS[model]) and "\n" not in cases[model]["reason"]
    assert FAULTS[model] in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_nothing_half_made_is_left_in_the_cache(faulty):
    built = [name for name in os.listdir(faulty[3] / "engines") if "-onnxruntime" in name and not name.startswith(".")]
    assert all(name.startswith(("tiny-", "starved-", "lost-")) for name in built), built


@pytest.fixture(scope="module")
def interrupted(root, tmp_path_factory, once):
    """Ctrl-C while the second model builds. Returns the exit code, the files next to the old JSON, and the JSON."""
    return once("interrupted", lambda: interrupted_run(root, tmp_path_factory.mktemp("interrupted")))


def interrupted_run(root, folder):
    environment = {**os.environ, "MARKER": str(folder / "building")}
    arguments = arguments_of(root, folder, "tiny,slow", "-k", "agreement or latency or startup", "--batch-sizes", "1,4")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments], cwd=root, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # A run in the background would ignore it.
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "building").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        before = json.loads((folder / "out.json.unfinished").read_text())
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=10)
    return process.returncode, output, before, json.loads((folder / "out.json").read_text()), folder, len(alive)


def test_ctrl_c_saves_what_was_measured_and_leaves_nothing_behind(interrupted):
    code, output, _, document, folder, alive = interrupted
    assert code == pytest.ExitCode.INTERRUPTED, output
    rows = {row["name"]: row["extra_info"]["latency_p50_s"] for row in document["benchmarks"]}
    assert {"test_latency[tiny-eager_fp32-1]", "test_latency[tiny-onnxruntime_fp32-1]"} <= set(rows)
    assert not [name for name in os.listdir(folder / "engines") if name.startswith("slow-onnx")]
    assert not (folder / "out.json.unfinished").exists()
    assert alive == 0, "workers ended with the run"


def test_what_was_measured_is_on_the_disk_before_the_end(interrupted):
    """It is the only trace if the suite's own process dies."""
    rows = {row["name"] for row in interrupted[2]["benchmarks"]}
    assert {"test_latency[tiny-eager_fp32-1]", "test_latency[tiny-onnxruntime_fp32-1]"} <= rows
    assert interrupted[2]["suite"]["agreement"][0]["ok"] is True


def test_build_figures_survive_another_batch_size(interrupted):
    """The cache was empty: latency at 4 comes after the build for 1, and start-up opens 1 once more."""
    (row,) = [row for row in interrupted[3]["suite"]["startup"] if row["twin"] == "onnxruntime_fp32"]
    assert row["build_s"] > 0 and row["export_s"] > 0 and row["model_load_s"] > 0
    assert row["host_build_peak_bytes"] > 0 and row["load_s"] > 0
    infos = [bench["extra_info"] for bench in interrupted[3]["benchmarks"]]
    builds = {info["batch_size"]: info["build_s"] for info in infos if info["twin"] == "onnxruntime_fp32"}
    assert set(builds) == {1, 4} and builds[1] == row["build_s"] != builds[4] > 0


@pytest.mark.parametrize(
    "error, beginning",
    [
        (UserError("weights.pth is truncated"), "weights.pth is truncated"),
        (WorkerFailed("the build crashed"), "the build crashed"),
        (MemoryError(), "memory ran out (MemoryError)"),
        (MemoryError("\x1b[2J"), "memory ran out (MemoryError: \\x1b[2J)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory ran out (RuntimeError"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory.\nTried 2 GiB"), "memory ran out (OutOf"),
        (type("AcceleratorError", (RuntimeError,), {})("an illegal access"), "the GPU failed (AcceleratorError"),
        (RuntimeError("CUDA error: device-side assert triggered\nFor debugging"), "the GPU failed (RuntimeError"),
    ],
)
def test_fault_is_reported_in_one_line(error, beginning):
    assert known_reason(error).startswith(beginning) and "\n" not in known_reason(error)


@pytest.mark.parametrize("error", [ValueError("shapes"), RuntimeError("size mismatch"), AssertionError("x")])
def test_an_error_of_the_code_keeps_its_traceback(error):
    assert known_reason(error) is None


def test_failed_case_releases_its_memory():
    """In any phase: the traceback's frames hold batches and outputs."""
    held = []

    def starve():
        outputs = type("Outputs", (), {})()
        held.append(weakref.ref(outputs))
        raise MemoryError

    phase = faults._with_one_line_reason(SimpleNamespace(_fixtureinfo=OF_SUITE))
    next(phase)
    try:
        starve()
    except MemoryError as error:
        with pytest.raises(pytest.fail.Exception, match="memory ran out"):
            phase.throw(error)
        assert held[0]() is None


def test_case_without_progress_is_interrupted():
    clock = time.monotonic()
    expected = "showed no progress for 0.2 s and was stopped; .*--case-timeout"
    with pytest.raises(UserError, match=expected), watchdog.watching(0.2):
        time.sleep(10)
    assert time.monotonic() - clock < 5


def test_progress_restarts_the_limit_which_ends_with_the_block():
    before = signal.getsignal(signal.SIGALRM)
    with watchdog.watching(0.3):
        for _ in range(5):
            time.sleep(0.1)
            watchdog.alive()
    watchdog.alive()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) == before
    with watchdog.watching(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def case_under(limit_s):
    """A case of the suite as its hooks see it."""
    stash = pytest.Stash()
    stash[SETTINGS] = SimpleNamespace(case_timeout_s=limit_s)
    return SimpleNamespace(_fixtureinfo=OF_SUITE, config=SimpleNamespace(stash=stash))


HOOKS = [faults.pytest_runtest_setup, faults.pytest_runtest_call, faults.pytest_runtest_teardown]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_case_that_hangs_in_any_phase_is_stopped_in_one_line(hook):
    phase = hook(case_under(0.2))
    next(phase)
    with pytest.raises(pytest.fail.Exception, match="^showed no progress for 0.2 s and was stopped; give it more with"):
        try:
            time.sleep(10)
        except UserError as error:
            phase.throw(error)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_waiting_for_a_worker_counts_as_progress(monkeypatch):
    """The worker has its own limit. The case's limit must not end it first."""

    def run(*task, waiting, **options):
        for _ in range(5):
            time.sleep(0.1)
            waiting(0.1, "building")
        return "done"

    monkeypatch.setattr("twins.run.process.run", run)
    monkeypatch.setattr("twins.run.session.progress", lambda config, title: nullcontext(lambda seconds, stage: None))
    session = SimpleNamespace(config=None, settings=SimpleNamespace(model_files=(), reference=None, case_timeout_s=0.3))
    with watchdog.watching(0.3):
        assert Session.work(session, "build", print) == "done"


@pytest.mark.parametrize("error", [Unsupported("no converter"), WorkerUnsupported("build failed: no converter")])
def test_unsupported_model_is_skipped_unless_the_twin_was_named(error):
    def refuse():
        raise error

    for named, outcome in ((False, pytest.skip.Exception), (True, type(error))):
        session = SimpleNamespace(settings=SimpleNamespace(twins_named=named))
        with pytest.raises(outcome, match="no converter"):
            cases._or_skip(refuse, session)


def test_other_failures_are_never_skipped():
    def refuse():
        raise WorkerFailed("build crashed")

    with pytest.raises(WorkerFailed, match="build crashed"):
        cases._or_skip(refuse, SimpleNamespace(settings=SimpleNamespace(twins_named=False)))


class Item:
    """A case of the suite, and what is added to its report."""

    _fixtureinfo = OF_SUITE

    def __init__(self, **funcargs):
        self.funcargs, self.sections = funcargs, []

    def add_report_section(self, *section):
        self.sections.append(section)


@pytest.mark.parametrize("in_worker", [True, False])
def test_a_failure_shows_the_warnings_of_its_build(in_worker):
    """Of the worker that failed, or of the build of the twin that a check refuses."""
    error, lines = (
        (WorkerFailed("no"), ["TracerWarning: a"]) if in_worker else (AssertionError("no"), ["TracerWarning: b"])
    )
    if in_worker:
        error.warnings = lines
    item = Item(twin=SimpleNamespace(figures={"build_warnings": ["TracerWarning: b"]}))
    phase = faults._with_one_line_reason(item)
    next(phase)
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        phase.throw(error)
    assert item.sections == [("call", "warnings of the worker", lines[0])]


def test_a_failure_without_warnings_shows_none():
    item = Item(twin=SimpleNamespace(figures={"build_warnings": None}))
    faults._show_warnings(item, AssertionError())
    faults._show_warnings(Item(), AssertionError())
    assert item.sections == []
