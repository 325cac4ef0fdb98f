"""python -m twins.compare where the GPU determines a call's time: its own kernel is the control, not eager."""

from __future__ import annotations

import copy
import json

import numpy
import pytest

from fixtures.compare.__main__ import main
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
SLOWER = 1.12


@pytest.fixture
def judged(tmp_path, capsys):
    """Compares two documents; the exit code, and the judgement of the twin's latency."""

    def compare(base, new):
        paths = [str(data.write(tmp_path, name, one)) for name, one in (("base.json", base), ("new.json", new))]
        code = main([*paths, "--json", str(tmp_path / "report")])
        capsys.readouterr()
        report = json.loads((tmp_path / "report").read_text())
        (found,) = [
            one for one in report["judgements"]
            if (one["model"], one["twin"], one["metric"]) == (*TWIN, "latency_p50_s")
        ]  # fmt: skip
        return code, found

    return compare


def slower(factor: float, eager: float = 1.0):
    return data.slow_down(data.document(seed=1), factor, *TWIN, eager=eager)


def test_a_slower_twin_is_found_though_eager_became_slower_too(judged):
    base, new = data.on_gpu(data.document(), *TWIN), data.on_gpu(slower(SLOWER, eager=SLOWER), *TWIN)
    assert judged(base, new)[1]["verdict"] == "WORSE"
    # Judged by eager alone, it would be the machine.
    assert judged(data.document(), slower(SLOWER, eager=SLOWER))[1]["verdict"] != "WORSE"


def test_eager_alone_moves_nothing(judged):
    code, found = judged(data.on_gpu(data.document(), *TWIN), data.on_gpu(slower(1.0, eager=1.5), *TWIN))
    assert (code, found["verdict"]) == (0, "SAME")


def test_what_the_control_kernel_saw_too_is_the_machines_doing(judged):
    base = data.on_gpu(data.document(), *TWIN)
    code, found = judged(base, data.on_gpu(slower(SLOWER), *TWIN, control_s=4e-4 * SLOWER))
    assert code == 0 and found["verdict"] != "WORSE"
    assert found["note"].startswith(
        "the GPU's control kernel changed by +12.0%, which is due to the machine: judged by the adjusted"
    )
    # A twin that became far slower than the clock explains is slower itself.
    assert judged(base, data.on_gpu(slower(1.5), *TWIN, control_s=4e-4 * SLOWER))[1]["verdict"] == "WORSE"


def test_the_control_kernel_is_not_a_control_across_versions(judged):
    other = data.document(seed=1, cuda="13.0")
    new = data.on_gpu(data.slow_down(other, SLOWER, *TWIN), *TWIN, control_s=4e-4 * SLOWER)
    _, found = judged(data.on_gpu(data.document(), *TWIN), new)
    assert found["verdict"] == "WORSE" and "CUDA 12.6 → 13.0 changed, so it is not a control" in found["note"]


def test_what_the_gpu_did_not_take_longer_for_is_in_doubt(judged):
    new = data.on_gpu(slower(SLOWER), *TWIN)
    extra = data.benchmark(new, *TWIN)["extra_info"]
    extra["device_p50_s"] /= SLOWER
    code, found = judged(data.on_gpu(data.document(), *TWIN), new)
    assert (code, found["verdict"]) == (0, "UNSURE")
    assert "GPU time changed by -0.1%: the rest is launch overhead or the host" in found["note"]


@pytest.mark.parametrize("spoilt", ["launch bound", "no device time", "no control"])
def test_eager_stays_the_control_where_the_gpu_does_not_decide(judged, spoilt):
    base, new = data.on_gpu(data.document(), *TWIN), data.on_gpu(slower(SLOWER, eager=SLOWER), *TWIN)
    if spoilt == "launch bound":
        data.benchmark(new, *TWIN)["extra_info"]["device_p50_s"] /= 2
    elif spoilt == "no device time":
        data.benchmark(new, *TWIN)["extra_info"]["device_p50_s"] = None
    else:
        new["suite"]["clocks"] = {}
    _, found = judged(base, new)
    assert found["verdict"] != "WORSE" and "judged by the adjusted change" in found["note"]


def test_invocations_in_a_folder_keep_the_gpus_times(judged, tmp_path):
    from fixtures.compare.reading.load import load_run

    folder = tmp_path / "runs"
    folder.mkdir()
    for number, control_s in enumerate((4e-4, 5e-4, 9e-4)):
        data.write(folder, f"{number}.json", data.on_gpu(data.document(seed=number), *TWIN, control_s=control_s))
    (timing,) = [t for name, t in load_run(folder, print).timings.items() if (name.model, name.twin) == TWIN]
    assert timing.gpu.control_s == 5e-4
    bare = copy.deepcopy(data.document(seed=3))
    data.write(folder, "3.json", bare)
    (timing,) = [t for name, t in load_run(folder, print).timings.items() if (name.model, name.twin) == TWIN]
    assert timing.gpu is None  # If one invocation lacks the figure, none of them counts.


def with_gpu_time(seconds, seed=1, scatter=0.002, wall=1.0, blocks=True):
    """A run whose twin keeps the GPU busy for this long, measured in ten blocks."""
    run = data.slow_down(data.document(seed=seed), wall, *TWIN)
    noise = numpy.random.default_rng(seed)
    extra = data.benchmark(run, *TWIN)["extra_info"]
    extra["device_blocks_s"] = (seconds * numpy.exp(noise.normal(0, scatter, 10))).tolist() if blocks else None
    extra["device_p50_s"] = seconds
    return run


def gpu_time(tmp_path, capsys, base, new, *options):
    paths = [str(data.write(tmp_path, name, one)) for name, one in (("base.json", base), ("new.json", new))]
    code = main([*paths, "--json", str(tmp_path / "report"), *options])
    capsys.readouterr()
    rows = json.loads((tmp_path / "report").read_text())["judgements"]
    return code, {one["metric"]: one for one in rows if (one["model"], one["twin"]) == TWIN}


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize(("growth", "verdict"), [(1.0, "SAME"), (1.012, "SAME"), (1.05, "WORSE"), (0.95, "BETTER")])
def test_gpu_time_is_a_metric_of_its_own_and_gated(tmp_path, capsys, growth, verdict, blocks):
    base, new = with_gpu_time(1e-3, seed=0, blocks=blocks), with_gpu_time(1e-3 * growth, blocks=blocks)
    code, found = gpu_time(tmp_path, capsys, base, new)
    low, high = found["device_p50_s"]["interval"]
    assert low < found["device_p50_s"]["change"] < high and high - low < 0.05
    assert found["device_p50_s"]["verdict"] == verdict or (verdict, growth) == ("SAME", 1.012)
    assert found["device_p50_s"]["verdict"] != "WORSE" or growth > 1.03
    assert code == (1 if verdict == "WORSE" else 0)


def test_wall_clock_time_that_changes_alone_is_due_to_the_host(tmp_path, capsys):
    code, found = gpu_time(tmp_path, capsys, with_gpu_time(1e-3, seed=0), with_gpu_time(1e-3, wall=1.3))
    assert code == 0 and found["latency_p50_s"]["verdict"] == "UNSURE"
    assert "the rest is launch overhead or the host" in found["latency_p50_s"]["note"]
    assert found["device_p50_s"]["verdict"] == "SAME"


@pytest.mark.parametrize("reason", ["others took 28% of the CPU", "GPU's control kernel -6%; drifted by -25%"])
def test_what_disturbed_the_calls_does_not_disturb_the_gpus_time(tmp_path, capsys, reason):
    new = with_gpu_time(1.06e-3, wall=1.4)
    data.benchmark(new, *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    code, found = gpu_time(tmp_path, capsys, with_gpu_time(1e-3, seed=0), new)
    assert code == 1 and found["device_p50_s"]["verdict"] == "WORSE" and found["latency_p50_s"]["verdict"] == "UNSURE"
    data.benchmark(new, *TWIN)["extra_info"].update(unstable_reason="GPU throttled: power cap")
    assert gpu_time(tmp_path, capsys, with_gpu_time(1e-3, seed=0), new)[1]["device_p50_s"]["verdict"] == "UNSURE"


def test_the_control_of_the_gpus_time_is_the_kernel_as_it_was_last(tmp_path, capsys):
    """The blocks of GPU time are measured after the calls, so the control kernel before them does not matter."""
    base, new = with_gpu_time(1e-3, seed=0), with_gpu_time(1.1e-3)
    for run, (before_s, after_s) in ((base, (6e-4, 4e-4)), (new, (4e-4, 4.4e-4))):
        moments = {"before": {"control_s": before_s}, "after": {"control_s": after_s}}
        run["suite"]["clocks"] = {" ".join((*TWIN, "1")): moments}
    code, found = gpu_time(tmp_path, capsys, base, new)
    assert code == 0 and found["device_p50_s"]["verdict"] != "WORSE"
    assert "the GPU's control kernel changed by +10.0%" in found["device_p50_s"]["note"]


def test_a_gpu_time_that_is_gone_is_missing(tmp_path, capsys):
    new = with_gpu_time(1e-3)
    data.benchmark(new, *TWIN)["extra_info"].update(device_p50_s=None, device_blocks_s=None)
    assert gpu_time(tmp_path, capsys, with_gpu_time(1e-3, seed=0), new)[0] == 1
