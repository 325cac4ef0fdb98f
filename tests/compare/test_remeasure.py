"""--remeasure: cases in question are timed again, by turns, until they are decided or the time is spent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fixtures.common.errors import UserError
from fixtures.compare import remeasure
from fixtures.compare.__main__ import main
from fixtures.compare.deciding.gate import NO_REGRESSION, REGRESSED, UNDECIDED
from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.reading.document import run_of
from tests.compare.deciding.test_outcomes import on_cpu
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
ENGINES = (Path("base-engines"), Path("new-engines"))
GATE = parse_gate(DEFAULT_FAIL_ON)


def slower(factor, seed, document=on_cpu):
    return run_of(data.slow_down(document(2.0, seed=seed), factor, *TWIN), f"run-{seed}")


def judge(runs):
    return make_report(runs, GATE, allow_different=False)


class Machine:
    """Measures base's engines at their pace and new's at `factor` times it; keeps whose turn it was, and the time."""

    def __init__(self, factor, seconds=10.0):
        self.factor, self.seconds, self.turns, self.asked = factor, seconds, [], []

    def __call__(self, folder, names):
        self.turns.append(folder.name)
        self.asked.append([str(name) for name in names])
        return slower(self.factor if folder == ENGINES[1] else 1.0, 100 + len(self.turns))

    def clock(self):
        return self.seconds * len(self.turns)


def remeasured(first, machine, budget_s=600.0):
    runs = [slower(1.0, 0), slower(first, 1)]
    return remeasure.remeasured(runs, ENGINES, budget_s, judge, machine, lambda line: None, machine.clock)


def test_a_real_slow_down_is_decided_by_measuring_again_by_turns():
    machine = Machine(1.3)
    report = remeasured(1.3, machine)
    assert report.decision.outcome == REGRESSED
    assert report.decision.reasons == ("resnet18 tensorrt_fp16: latency is worse",)
    assert machine.turns == ["base-engines", "new-engines"] * (len(machine.turns) // 2) and len(machine.turns) == 10
    assert machine.asked[0] == ["resnet18 tensorrt_fp16"], "only what is in question"


def test_a_slow_process_of_an_equal_engine_is_cleared():
    machine = Machine(1.0)
    report = remeasured(1.6, machine)
    assert report.decision.outcome in (NO_REGRESSION, UNDECIDED) and report.decision.exit_code == 0


def test_no_pair_starts_after_the_time_is_spent():
    machine = Machine(1.3, seconds=100)
    assert remeasured(1.3, machine, budget_s=250).decision.outcome == UNDECIDED
    assert len(machine.turns) == 4


def test_what_is_decided_is_not_measured_again():
    machine = Machine(1.0)
    assert remeasured(1.0, machine).decision.outcome == NO_REGRESSION
    assert machine.turns == []


def test_what_cannot_be_compared_is_not_measured():
    other = data.slow_down(data.document(seed=1, gpu="Thor"), 1.3, *TWIN)
    report = judge([run_of(data.document(), "base"), run_of(other, "new")])
    assert remeasure.in_question(report) == []


def test_pytest_is_asked_for_the_cases_with_the_folder_of_engines(tmp_path, monkeypatch):
    names = list(slower(1.0, 0).timings)[1:3]
    commands = []

    def run(command, **options):
        commands.append(command)
        document = on_cpu(2.0)
        for row in document["suite"]["startup"]:
            row["build_s"] = built
        data.write(Path(command[-1]).parent, "again.json", document)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    measure, built = remeasure.measure_with_pytest("calibrated"), None
    assert len(measure(tmp_path, names).timings) == 6
    command = " ".join(commands[0])
    assert "benchmarks/test_latency.py" in command and "test_end_to_end" not in command
    assert "--models resnet18 --twins tensorrt_fp32,tensorrt_fp16 --batch-sizes 1 --weights calibrated" in command
    assert f"--engine-dir {tmp_path}" in command
    built = 40.0
    with pytest.raises(UserError, match="no engine of resnet18 tensorrt_fp32 for this machine"):
        measure(tmp_path, names)


def test_a_measurement_that_fails_is_one_line(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 4, "one\ntwo\nERROR: no such model\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: done)
    with pytest.raises(UserError, match="measuring again failed: .*ERROR: no such model"):
        remeasure.measure_with_pytest("calibrated")(tmp_path, list(slower(1.0, 0).timings)[1:2])


@pytest.mark.parametrize(("runs", "said"), [(1, "needs two runs"), (2, "no such folder")])
def test_wrong_use_is_one_line(tmp_path, capsys, runs, said):
    paths = [str(data.write(tmp_path, f"{seed}.json", data.document(seed=seed))) for seed in range(runs)]
    assert main([*paths, "--remeasure", str(tmp_path / "absent"), str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_weights_are_those_of_the_run():
    document = data.document()
    assert remeasure.weights_of(run_of(document, "run")) == "calibrated"
    document["suite"]["weights"] = {"recipe": "folder", "seed": None, "digests": {"resnet18": "a"}}
    with pytest.raises(UserError, match="name their folder with --weights"):
        remeasure.weights_of(run_of(document, "run"))
