"""--remeasure: doubtful cases are timed again, in turn, until they are decided or the time is used up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from fixtures.common.errors import UserError
from fixtures.compare import remeasure
from fixtures.compare.__main__ import main
from fixtures.compare.deciding.gate import NO_REGRESSION, REGRESSED, UNDECIDED
from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.judging.shift import BESIDE_PROCESSES
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.metrics import LATENCY
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
    """Measures base's engines at their pace and new's at `factor` times it; keeps whose turn it was, and the time.

    Like a virtual machine, it changes its pace by as much as a half from one process to the next.
    """

    def __init__(self, factor, seconds=10.0):
        self.factor, self.seconds, self.turns, self.asked = factor, seconds, [], []

    def __call__(self, folder, names, beside):
        self.turns.append((folder.name, beside and beside.name))
        self.asked.append([str(name) for name in names])
        document = on_cpu(2.0, seed=100 + len(self.turns))
        noise = numpy.random.default_rng(len(self.turns))
        pace = noise.choice([1.0, 1.5]) * numpy.exp(noise.normal(0, 0.02, (2, 10)))
        twin, base = (8e-3 * pace * [[self.factor], [1.0]]).tolist()
        row = {"model": TWIN[0], "twin": TWIN[1], "batch_size": 1, "twin_blocks_s": twin, "base_blocks_s": base}
        document["suite"]["beside_base"] = [row] if beside else []
        return run_of(document, f"run-{len(self.turns)}")

    def clock(self):
        return self.seconds * len(self.turns)


def remeasured(first, machine, budget_s=600.0):
    runs = [slower(1.0, 0), slower(first, 1)]
    return remeasure.remeasured(runs, ENGINES, budget_s, judge, machine, lambda line: None, machine.clock)


def test_a_real_slow_down_is_decided_by_turns_in_a_few_processes():
    machine = Machine(1.1)
    report = remeasured(1.1, machine)
    assert report.decision.outcome == REGRESSED
    assert report.decision.reasons == ("resnet18 tensorrt_fp16: latency is worse",)
    assert machine.turns == [("new-engines", "base-engines")] * BESIDE_PROCESSES
    assert machine.asked[0] == ["resnet18 tensorrt_fp16"], "only what is in question"
    (found,) = [one for one in report.comparison.judgements if (one.name[:2], one.metric) == (TWIN, LATENCY)]
    assert 0.09 < found.change < 0.11 and found.new / found.base - 1 == pytest.approx(found.change)
    assert found.note == f"in turns with base's engine in {BESIDE_PROCESSES} processes"


def test_a_slow_process_of_an_equal_engine_is_cleared():
    machine = Machine(1.0)
    assert remeasured(1.6, machine).decision.outcome == NO_REGRESSION
    assert len(machine.turns) == BESIDE_PROCESSES


@pytest.mark.parametrize("seed", range(5))
def test_equal_engines_are_no_regression_however_few_turns_there_were(seed):
    machine = Machine(1.0)
    machine.turns = [("other", "runs")] * seed * 10
    assert remeasured(1.6, machine, budget_s=600.0 + 100 * seed).decision.exit_code == 0


def test_no_process_starts_after_the_time_is_spent():
    machine = Machine(1.3, seconds=100)
    assert remeasured(1.3, machine, budget_s=250).decision.outcome == UNDECIDED
    assert len(machine.turns) == 3


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
    assert len(measure(tmp_path, names, None).timings) == 6
    command = " ".join(commands[0])
    assert "benchmarks/test_latency.py" in command and "test_end_to_end" not in command
    assert "--models resnet18 --twins tensorrt_fp32,tensorrt_fp16 --batch-sizes 1 --weights calibrated" in command
    assert f"--engine-dir {tmp_path}" in command
    measure(tmp_path, names, ENGINES[0])
    command = " ".join(commands[1])
    assert "benchmarks/test_latency_beside_base.py" in command and "end_to_end" not in command
    assert f"--engine-dir {tmp_path} --beside-engines {ENGINES[0].resolve()}" in command
    built = 40.0
    with pytest.raises(UserError, match="no engine of resnet18 tensorrt_fp32 for this machine"):
        measure(tmp_path, names, None)


def test_a_measurement_that_fails_is_one_line(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 4, "one\ntwo\nERROR: no such model\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: done)
    with pytest.raises(UserError, match="measuring again failed: .*ERROR: no such model"):
        remeasure.measure_with_pytest("calibrated")(tmp_path, list(slower(1.0, 0).timings)[1:2], None)


@pytest.mark.parametrize(("engines", "base"), [((None, ENGINES[1]), {}), (ENGINES, {"tensorrt": "8.6"})])
def test_without_base_engines_only_the_new_run_is_measured_again(engines, base):
    """After an upgrade, TensorRT cannot run base's engines: the new run's processes show the spread."""
    lines, machine = [], Machine(1.0)

    def gpu(seed, factor=1.0, **facts):
        return run_of(data.slow_down(data.document(seed=seed, **facts), factor, *TWIN), f"run-{seed}")

    def measure(folder, names, beside):
        machine(folder, names, beside)
        return gpu(100 + len(machine.turns), [1.0, 1.3, 0.9, 1.2][len(machine.turns) - 1])

    runs = [gpu(0, **base), gpu(1, 1.1)]
    assert judge(runs).decision.outcome == REGRESSED
    report = remeasure.remeasured(runs, engines, 600.0, judge, measure, lines.append, machine.clock)
    assert machine.turns == [("new-engines", None)] * (remeasure.ONE_SIDED - 1)
    assert report.decision.outcome == UNDECIDED, "processes of the new run are up to 40 % apart"
    assert "only the new run is measured again" in lines[0]
    assert ("TensorRT 8.6 → 10.3.0 changed" in lines[0]) == bool(base)


def test_a_real_regression_is_found_without_base_engines():
    machine = Machine(2.0)

    def measure(folder, names, beside):
        machine(folder, names, beside)
        return run_of(data.slow_down(data.document(seed=50 + len(machine.turns)), 2.0, *TWIN), "again")

    runs = [run_of(data.document(), "base"), run_of(data.slow_down(data.document(seed=1), 2.0, *TWIN), "new")]
    report = remeasure.remeasured(runs, (None, ENGINES[1]), 600.0, judge, measure, lambda line: None, machine.clock)
    assert report.decision.outcome == REGRESSED


ENGINE = """
import json, sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
sessions = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in sys.argv[1:]]
feed, blocks = {"x": numpy.ones((64, 64), numpy.float32)}, [[] for _ in sessions]
for _ in range(11):
    for session, seconds in zip(sessions, blocks):
        began_s = time.process_time()  # Other work on the machine does not count.
        for _ in range(100):
            session.run(None, feed)
        seconds.append((time.process_time() - began_s) / 100)
print(json.dumps([seconds[1:] for seconds in blocks]))
"""


def write_engine(folder, layers):
    """A chain of this many matrix products, as ONNX."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    names = ["x", *(f"y{number}" for number in range(layers))]
    weight = onnx.numpy_helper.from_array(numpy.eye(64, dtype=numpy.float32), "w")
    nodes = [make.make_node("MatMul", [before, "w"], [after]) for before, after in zip(names, names[1:])]
    ends = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (64, 64)) for name in (names[0], names[-1])]
    graph = make.make_graph(nodes, "chain", ends[:1], ends[1:], [weight])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    onnx.save(model, str(folder / "engine.onnx"))


@pytest.mark.parametrize(("layers", "outcome"), [(30, REGRESSED), (10, NO_REGRESSION)])
def test_real_engines_are_decided_by_turns(tmp_path, layers, outcome):
    """ONNX Runtime times both in turn: an engine with three times the work is WORSE, an equal one SAME."""
    folders = (tmp_path / "base", tmp_path / "new")
    write_engine(folders[0], 10)
    write_engine(folders[1], layers)

    def measure(folder, names, beside):
        command = [sys.executable, "-c", ENGINE, *(str(one / "engine.onnx") for one in (folder, beside))]
        twin, base = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        document = on_cpu(1.0, torch_threads=1)
        row = {"model": TWIN[0], "twin": TWIN[1], "batch_size": 1, "twin_blocks_s": twin, "base_blocks_s": base}
        document["suite"]["beside_base"] = [row]
        return run_of(document, folder.name)

    def by_half(runs):
        return make_report(runs, parse_gate("latency:50%,missing"), allow_different=False)

    # The first two runs, of which slow moments made one undecided, must not matter.
    slow = on_cpu(1.0, torch_threads=1)
    side = data.benchmark(slow, *TWIN)["extra_info"]["blocks_s"]
    side["twin"] = [block * pace for block in side["twin"] for pace in (1, 4)][:10]
    runs = [run_of(on_cpu(1.0, torch_threads=1), "base"), run_of(slow, "new")]
    assert by_half(runs).decision.outcome == UNDECIDED
    report = remeasure.remeasured(runs, folders, 60.0, by_half, measure, lambda line: None)
    assert report.decision.outcome == outcome


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
    with pytest.raises(UserError, match="name it with --weights"):
        remeasure.weights_of(run_of(document, "run"))
