"""python -m fixtures.compare where the GPU decides how long a call takes: its own kernel is the control, not eager."""

from __future__ import annotations

import copy
import json

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
    # By eager alone it would be the machine.
    assert judged(data.document(), slower(SLOWER, eager=SLOWER))[1]["verdict"] != "WORSE"


def test_eager_alone_moves_nothing(judged):
    code, found = judged(data.on_gpu(data.document(), *TWIN), data.on_gpu(slower(1.0, eager=1.5), *TWIN))
    assert (code, found["verdict"]) == (0, "SAME")


def test_what_the_control_kernel_saw_too_is_the_machines_doing(judged):
    base = data.on_gpu(data.document(), *TWIN)
    code, found = judged(base, data.on_gpu(slower(SLOWER), *TWIN, control_s=4e-4 * SLOWER))
    assert code == 0 and found["verdict"] != "WORSE"
    assert found["note"].startswith("the GPU's control kernel moved by +12.0%, which is the machine's doing")
    # A twin that lost far more than the clock did has lost it itself.
    assert judged(base, data.on_gpu(slower(1.5), *TWIN, control_s=4e-4 * SLOWER))[1]["verdict"] == "WORSE"


def test_across_versions_the_control_kernel_is_no_control(judged):
    other = data.document(seed=1, cuda="13.0")
    new = data.on_gpu(data.slow_down(other, SLOWER, *TWIN), *TWIN, control_s=4e-4 * SLOWER)
    _, found = judged(data.on_gpu(data.document(), *TWIN), new)
    assert found["verdict"] == "WORSE" and "torch, CUDA or cuDNN differ" in found["note"]


def test_what_the_gpu_did_not_take_longer_for_is_in_doubt(judged):
    new = data.on_gpu(slower(SLOWER), *TWIN)
    extra = data.benchmark(new, *TWIN)["extra_info"]
    extra["device_p50_s"] /= SLOWER
    code, found = judged(data.on_gpu(data.document(), *TWIN), new)
    assert (code, found["verdict"]) == (0, "UNSURE")
    assert "the GPU itself took less than half of it longer" in found["note"]


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
    assert found["verdict"] != "WORSE" and "judged beside it" in found["note"]


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
    assert timing.gpu is None  # One invocation does not say: then none of them counts.
