"""Outcomes of comparing runs that were once misjudged: upgrades, contention, threads, processors, processes."""

from __future__ import annotations

import copy
import itertools

import numpy
import pytest

from fixtures.compare.judging.processes import chance, enough
from tests.helpers import compare_data as data
from tests.helpers.compared import TWIN, Compared, changed

CPU = {"gpu": None, "cuda": None, "cudnn": None, "jetpack": None, "l4t": None, "driver": None, "tensorrt": None}
EPYC = {"brand_raw": "AMD EPYC", "count": 2, "family": 25}
AVX2, AVX512 = {**EPYC, "model": 1, "flags": ["avx", "avx2"]}, {**EPYC, "model": 17, "flags": ["avx2", "avx512f"]}


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def on_cpu(threads=None, seed=0, **facts):
    """A run on a CPU whose CPU times show this many threads; None: it has no CPU times."""
    document = data.document(seed=seed, **{**CPU, **facts})
    for bench in document["benchmarks"] if threads else ():
        extra = bench["extra_info"]
        moments = {"before": {"at_s": 1.0, "own_cpu_s": 1.0}, "after": {"at_s": 2.0, "own_cpu_s": 1.0 + threads}}
        clock = f"{extra['model']} {extra['twin']} {extra['batch_size']}"
        document["suite"]["clocks"][clock] = {**moments, "others_cpu_share": 0.01}
    return document


def slower(document, factor, eager=1.0):
    for model in data.MODELS:
        for twin in data.TWINS:
            document = data.slow_down(document, factor, model, twin, eager=eager)
    return document


@pytest.mark.parametrize("key", ["jetpack", "l4t", "driver", "tensorrt", "tensorrt_rtx", "onnxruntime", "torch", "os"])
def test_an_upgrade_that_makes_everything_twice_as_slow_is_not_excused(compared, key):
    assert compared(data.document(), slower(data.document(seed=1, **{key: "99"}), 2.0, eager=2.0)) == 1
    assert compared.report["reasons"][0].startswith("everything is slower, eager and every twin, by 9")
    assert f"{'system' if key == 'os' else ''}" in compared.report["reasons"][0] and "→ 99" in compared.out
    assert compared.verdict("latency_p50_s") == "WORSE"


def test_a_processor_with_other_vector_units_is_another_machine(compared):
    assert compared(on_cpu(cpu=AVX2), on_cpu(seed=1, cpu=AVX512)) == 2
    assert "kind of CPU: family 25, model 1, AVX2 in the base, family 25, model 17, AVX-512" in compared.out
    assert compared(on_cpu(cpu=AVX2), on_cpu(seed=1, cpu=AVX2)) == 0
    # A run of before flags were recorded is not another machine for that.
    assert compared(on_cpu(cpu=EPYC), on_cpu(seed=1, cpu={**EPYC, "count": 2})) == 0


@pytest.mark.parametrize("fact", ["gpu_compute_capability", "gpu_power_limit_w", "gpu_max_clock_hz"])
def test_other_limits_of_the_gpu_are_another_machine(compared, fact):
    assert compared(data.document(**{fact: 700}), data.document(seed=1, **{fact: 500})) == 2
    assert compared(data.document(**{fact: 700}), data.document(seed=1)) == 0


def test_another_number_of_threads_is_not_comparable_on_a_cpu(compared):
    assert compared(on_cpu(2.0), on_cpu(1.0, seed=1)) == 2
    assert "threads: about 2, by CPU time in the base, about 1, by CPU time in the new run" in compared.out
    assert compared(on_cpu(torch_threads=2), on_cpu(seed=1, torch_threads=4)) == 2
    assert "threads: 2 in the base, 4 in the new run" in compared.out
    assert compared(on_cpu(2.0), on_cpu(1.8, seed=1)) == 0
    assert compared(on_cpu(torch_threads=2), on_cpu(1.9, seed=1)) == 0
    # Contention hides it, so the runs cannot decide.
    crowded = on_cpu(1.0, seed=1)
    for clock in crowded["suite"]["clocks"].values():
        clock["others_cpu_share"] = 0.4
    assert compared(on_cpu(2.0), crowded) == 0
    assert compared(data.document(torch_threads=2), data.document(seed=1, torch_threads=4)) == 0, "a GPU decides"


def test_one_process_of_several_threads_a_side_decides_no_slow_down(compared, tmp_path):
    """Equal runs of mobilenet_v2 took 4.2 and 6.8 ms, each with steady blocks."""
    new = data.slow_down(on_cpu(2.0, seed=1), 1.63, *TWIN)
    assert compared(on_cpu(2.0), new) == 0
    assert compared.report["outcome"] == "undecided" and compared.verdict("latency_p50_s") == "UNSURE"
    assert "1 and 1 processes" in " ".join(compared.out.split())
    assert compared(on_cpu(2.0), data.slow_down(on_cpu(2.0, seed=1), 5, *TWIN)) == 1, "no such process was seen"
    assert compared(on_cpu(1.0), data.slow_down(on_cpu(1.0, seed=1), 1.63, *TWIN)) == 1, "one thread"
    assert compared(data.document(), data.slow_down(data.document(seed=1), 1.63, *TWIN)) == 1, "a GPU"


def test_a_slow_down_in_every_one_of_several_processes_is_found(compared, tmp_path):
    from fixtures.compare.__main__ import main

    for side, factor in (("base", 1.0), ("new", 1.3)):
        (tmp_path / side).mkdir()
        for seed in range(6):
            data.write(tmp_path / side, f"{seed}.json", data.slow_down(on_cpu(2.0, seed=seed), factor, *TWIN))
    assert main([str(tmp_path / "base"), str(tmp_path / "new")]) == 1
    # Processes of equal runs are sometimes fast and sometimes slow: both slow ones may be on the same side.
    few = [data.write(tmp_path, f"{side}.json", on_cpu(2.0)).parent / side for side in ("base", "new")]
    for folder in few:
        for seed in range(2, 6):
            (folder / f"{seed}.json").unlink()
    assert main([str(folder) for folder in few]) == 0


def test_the_chance_of_ranks():
    assert chance([1, 2], [3, 4]) == pytest.approx(1 / 6)
    assert chance([3, 4], [1, 2]) == chance([1, 1], [1, 1]) == 1
    assert chance([1, 2, 4], [3, 5, 6]) == pytest.approx(2 / 20)
    everywhere = list(itertools.combinations(range(7), 3))
    for chosen in everywhere:
        rest = [rank for rank in range(7) if rank not in chosen]
        as_far = sum(sum(other) >= sum(chosen) for other in everywhere)
        assert chance(rest, chosen) == pytest.approx(as_far / len(everywhere))


@pytest.mark.parametrize(("cases", "needed"), [(1, 5), (4, 6), (14, 7)])
def test_how_many_processes_are_enough(cases, needed):
    assert enough(cases) == needed


def test_processes_of_two_modes_raise_no_false_alarm():
    """Equal runs in which each process is fast or slow at random."""
    noise = numpy.random.default_rng(0)
    alarms = 0
    for _ in range(3000):
        base, new = (numpy.where(noise.random(6) < 0.5, 4.2, 6.8) * noise.normal(1, 0.01, 6) for _ in range(2))
        alarms += chance(base, new) <= 0.01 / 4
    assert alarms / 3000 < 0.01


NOT_GATED = {
    "load_s": ("startup", {"load_s": 0.4}),
    "first_call_s": ("startup", {"first_call_s": 0.5}),
    "precision_notes": ("agreement", {"precision_note": "fp16 was not used"}),
    "latency_p95_s": ("benchmark", {"latency_p95_s": 0.02}),
    "latency_p99_s": ("benchmark", {"latency_p99_s": 0.02}),
    "energy_per_image_j": ("benchmark", {"energy_per_image_j": 3.0}),
    "throughput_fps": ("throughput", {"throughput_fps": 100.0}),
    "realtime": ("end_to_end", {"realtime": False}),
    "realtime_fps": ("end_to_end", {"realtime_fps": 12.0}),
    "mutants_unclaimed": ("mutants", {"not_claimed": ["a", "b"]}),
    "mutants_missed": ("mutants", {"refused": 11}),
    "streams_fps": ("streams", {"throughput_fps": 300.0}),
    "streams_p95_s": ("streams", {"latency_p95_s": 0.02}),
    "streams_p99_s": ("streams", {"latency_p99_s": 0.02}),
    "host_context_bytes": ("streams", {"host_context_bytes": 60 * data.MIB}),
    "device_context_bytes": ("streams", {"device_context_bytes": 60 * data.MIB}),
    "first_call_after_switch_s": ("sizes", {"first_call_after_switch_s": 0.4}),
}
GATES = {"load_s": "startup", "first_call_s": "startup", "precision_notes": "precision", "latency_p95_s": "tail",
         "latency_p99_s": "tail", "energy_per_image_j": "energy", "throughput_fps": "throughput",
         "realtime": "realtime", "realtime_fps": "throughput", "mutants_unclaimed": "mutants",
         "mutants_missed": "mutants", "streams_fps": "streams", "streams_p95_s": "streams", "streams_p99_s": "streams",
         "host_context_bytes": "streams", "device_context_bytes": "streams",
         "first_call_after_switch_s": "startup"}  # fmt: skip


def complete(seed=0):
    """A run with every section that only longer runs have."""
    document = data.document(seed=seed)
    named = {"model": TWIN[0], "twin": TWIN[1], "batch_size": 1}
    document["suite"]["throughput"] = [{**named, "throughput_fps": 500.0, "out_of_memory": None}]
    document["suite"]["end_to_end"] = [{**named, "realtime": True, "realtime_fps": 220.0}]
    document["suite"]["mutants"] = [{**named, "refused": 13, "total": 13, "not_claimed": []}]
    memory = {"host_context_bytes": 40 * data.MIB, "device_context_bytes": 40 * data.MIB}
    speed = {"throughput_fps": 900.0, "latency_p95_s": 0.005, "latency_p99_s": 0.006, "stable": True}
    document["suite"]["streams"] = [{**named, "streams": 4, **speed, **memory}]
    document["suite"]["sizes"] = [{**named, "first_call_after_switch_s": 0.05, "max_relative_error": 1e-5}]
    data.row(document, "agreement", *TWIN)["precision_note"] = ""
    data.benchmark(document, *TWIN)["extra_info"].update(latency_p99_s=0.0024, energy_per_image_j=1.0)
    return document


@pytest.mark.parametrize("metric", NOT_GATED)
def test_everything_shown_is_compared_and_gated_when_asked(compared, metric):
    section, fields = NOT_GATED[metric]
    new = complete(seed=1)
    extra = data.benchmark(new, *TWIN)["extra_info"]
    (extra if section == "benchmark" else data.row(new, section, *TWIN)).update(fields)
    assert compared(complete(), new) == 0
    assert compared.verdict(metric) == "WORSE"
    assert "1 figure outside the gate is worse" in compared.report["headline"]
    assert compared(complete(), new, options=("--fail-on", GATES[metric])) == 1
    assert compared(new, complete(), options=("--fail-on", GATES[metric])) == 0
    assert compared.verdict(metric) == "BETTER"
    # It may be absent, as a p99 of few rounds, and is then not missing.
    gone = complete(seed=1)
    extra = data.benchmark(gone, *TWIN)["extra_info"]
    (extra if section == "benchmark" else data.row(gone, section, *TWIN)).update(dict.fromkeys(fields))
    assert compared(complete(), gone) == 0


@pytest.mark.parametrize("spread, bit_equal, regressed", [(1e-6, False, 0), (3e-2, False, 1), (None, False, 1)])
def test_a_twin_that_begins_to_vary_from_call_to_call_is_a_regression(compared, spread, bit_equal, regressed):
    named = {"model": TWIN[0], "twin": TWIN[1], "batch_size": 1}
    base, new = data.document(), data.document(seed=1)
    base["suite"]["repeatability"] = [{**named, "spread": 0.0, "bit_equal": True}]
    new["suite"]["repeatability"] = [{**named, "spread": spread, "bit_equal": bit_equal}]
    assert compared(base, new) == regressed
    assert compared.verdict("spread") == ("WORSE" if regressed else "SAME")
    assert compared(data.document(), new) == 0, "an older run does not know"


def test_times_of_streams_that_were_unstable_are_not_compared_and_their_memory_is(compared):
    new = complete(seed=1)
    slow = {"throughput_fps": 100.0, "latency_p95_s": 0.05, "stable": False, "host_context_bytes": 90 * data.MIB}
    data.row(new, "streams", *TWIN).update(slow)
    assert compared(complete(), new, options=("--fail-on", "streams")) == 1
    assert compared.verdict("host_context_bytes") == "WORSE"
    assert "streams_fps" not in {found["metric"] for found in compared.report["judgements"]}


@pytest.mark.parametrize("error", [1e-3, None])
def test_an_error_at_another_size_is_a_regression(compared, error):
    new = complete(seed=1)
    data.row(new, "sizes", *TWIN)["max_relative_error"] = error
    assert compared(complete(), new) == 1 and compared.verdict("sizes_error") == "WORSE"


def test_a_batch_size_that_runs_out_of_memory_is_worse(compared):
    new = complete(seed=1)
    data.row(new, "throughput", *TWIN).update(throughput_fps=None, out_of_memory="2.1 GiB")
    assert compared(complete(), new, options=("--fail-on", "throughput")) == 1


def test_tails_of_a_crowded_machine_are_unsure(compared):
    new = complete(seed=1)
    data.benchmark(new, *TWIN)["extra_info"].update(
        latency_p95_s=0.5, stable=False, unstable_reason="others took 28% of the CPU"
    )
    assert compared(complete(), new, options=("--fail-on", "tail")) == 0
    assert compared.verdict("latency_p95_s") == "UNSURE" and compared.report["outcome"] == "undecided"


def test_nothing_judged_is_not_no_regression(compared):
    for options in (("--fail-on", "energy"), ("--fail-on", "none")):
        assert compared(data.document(), data.document(seed=1), options=options) == 0
        assert compared.report["headline"] == "Undecided: nothing was judged"
    options = ("--fail-on", "energy", "--undecided", "fail")
    assert compared(data.document(), data.document(seed=1), options=options) == 1


def test_each_row_says_what_it_could_have_found(compared):
    assert compared(data.document(), data.document(seed=1)) == 0
    found = {one["metric"]: one["smallest"] for one in compared.report["judgements"] if one["twin"] == TWIN[1]}
    assert 0.05 <= found["latency_p50_s"] < 0.12 and found["host_run_peak_bytes"] == pytest.approx(0.1)
    noisy = compared(data.document(), data.document(seed=1, scatter=0.3))
    assert noisy == 0
    worst = [one["smallest"] for one in compared.report["judgements"] if one["metric"] == "latency_p50_s"]
    assert max(worst) > 0.2


def test_known_failures_beside_a_new_one(compared):
    base = data.document()
    data.row(base, "cases", *TWIN).update(outcome="failed", reason="got 3")
    new = copy.deepcopy(base)
    data.row(new, "cases", "mobilenet_v2", "tensorrt_fp16").update(outcome="failed", reason="got 4")
    assert compared(base, new) == 1
    assert compared.report["headline"] == "Regression: 1 finding, 1 known failure"
    assert compared.report["reasons"] == ["mobilenet_v2 tensorrt_fp16: failed"]
    assert compared(base, base, options=("--fail-on", "missing")) == 0


def test_a_slow_tail_without_blocks_is_a_single_number(compared):
    assert compared(data.document(), changed("startup", load_s=0.109)) == 0, "9 ms are no difference"
    assert compared.verdict("load_s") == "SAME"
