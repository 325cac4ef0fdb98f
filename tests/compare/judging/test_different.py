"""python -m twins.compare: what cannot be compared, exit code 2, and what may differ."""

from __future__ import annotations

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import Compared


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


DIFFERENT = {
    "GPU": (data.document(seed=1, gpu="Thor"), "latency_p50_s"),
    "no GPU": (data.document(seed=1, gpu=None), "latency_p50_s"),
    "power mode": (data.document(seed=1, power_mode="15W"), "latency_p50_s"),
    "photographs": (data.document(seed=1), "max_relative_error"),
    "weights": (data.document(seed=1), "accuracy_top1"),
    "source of memory": (data.document(seed=1), "device_run_peak_bytes"),
}
DIFFERENT["photographs"][0]["suite"]["images"] = "other"
DIFFERENT["weights"][0]["suite"]["weights"].update(seed=1)
for bench in DIFFERENT["source of memory"][0]["benchmarks"]:
    bench["extra_info"]["device_memory_source"] = "free memory"


@pytest.mark.parametrize(("document", "metric"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_does_not_mean_the_same_is_exit_code_2_unless_allowed(compared, document, metric):
    assert compared(data.document(), document) == 2
    assert compared.verdict(metric) == "DIFFERENT"
    assert "--allow-different" in compared.out
    assert "SAME" in {judgement["verdict"] for judgement in compared.report["judgements"]}
    assert compared(data.document(), document, options=("--allow-different",)) == 0
    assert compared.verdict(metric) == "SAME"


def test_a_cpu_run_on_another_processor_is_different(compared):
    cpu = {"brand_raw": "Xeon", "count": 2}
    assert compared(data.document(gpu=None), data.document(seed=1, gpu=None, cpu=cpu)) == 2
    assert compared(data.document(), data.document(seed=1, cpu=cpu)) == 0


def test_made_weights_are_the_same_by_recipe_and_seed_and_files_by_digest(compared):
    def with_weights(**weights):
        document = data.document(seed=1)
        document["suite"]["weights"] = weights
        return document

    folder = with_weights(recipe="folder", seed=None, digests={"resnet18": "a", "mobilenet_v2": "b"})
    assert compared(folder, with_weights(recipe="pretrained", seed=None, digests={"resnet18": "a"})) == 0
    assert compared(folder, with_weights(recipe="folder", seed=None, digests={"resnet18": "other"})) == 2
    assert compared(folder, with_weights(recipe="folder", seed=None, digests={"vgg16": "a"})) == 2
    assert compared(folder, data.document()) == 2
    assert compared(with_weights(recipe="calibrated-2", seed=0), data.document()) == 2


def test_jetpack_and_tensorrt_may_differ(compared):
    assert compared(data.document(), data.document(seed=1, jetpack="7.0", tensorrt="10.13", driver="580")) == 0
    lines = compared.out.splitlines()
    assert any(line.split() == ["JetPack", "6.2", "7.0"] for line in lines)
    assert any(line.split() == ["TensorRT", "10.3.0", "10.13"] for line in lines)


def test_runs_without_a_common_case_are_not_comparable(compared):
    assert compared(data.document(), data.plain(data.document())) == 2
    assert "no figure in common" in compared.out
    empty = data.document(models=())
    assert compared(empty, data.document()) == compared(data.document(), empty) == 2
