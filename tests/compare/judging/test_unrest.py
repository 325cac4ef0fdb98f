"""python -m twins.compare on noise, a machine that changed, and an unstable one."""

from __future__ import annotations

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import TWIN, Compared, changed


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def test_noise_is_unsure_passes_and_is_shown(compared):
    assert compared(data.document(), data.document(seed=4, scatter=0.3)) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert compared.report["headline"] == "Undecided: 4 of 48 gated figures"
    assert compared.report["outcome"] == "undecided"
    assert compared(data.document(), data.document(seed=4, scatter=0.3), options=("--undecided", "fail")) == 1
    assert "UNSURE" in compared.out


def test_a_machine_that_changed_is_named_and_the_speed_up_judged(compared):
    document = data.document(seed=1)
    for model in data.MODELS:
        for twin in data.TWINS:
            document = data.slow_down(document, 1.1, model, twin, eager=1.1)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") != "WORSE"
    assert "The machine's speed changed: eager is 1" in compared.out
    assert "slower than in the base on orin" in compared.out
    # A twin that is slower than the machine explains is found anyway.
    assert compared(data.document(), data.slow_down(document, 1.1, *TWIN)) == 1


@pytest.mark.parametrize("versions", [{}, {"torch": "99"}, {"jetpack": "7.0"}])
def test_where_everything_is_slower_it_is_the_machine_or_the_new_software(compared, versions):
    """The same software: the machine, and no twin is worse. Other software: a finding of its own, and exit code 1."""

    def slower(*twins, eager):
        document = data.document(seed=1, **versions)
        for twin, factor in zip(data.TWINS, twins):
            for model in data.MODELS:
                document = data.slow_down(document, factor, model, twin, eager=eager)
        code = compared(data.document(), document)
        named = "verything is slower, eager and every twin" in compared.out
        latencies = [one for one in compared.report["judgements"] if one["metric"] == "latency_p50_s"]
        if named:
            assert code == (1 if versions else 0)
            assert any(one["verdict"] == "WORSE" and one["gates"] for one in latencies) == bool(versions)
            assert compared.report["outcome"] == ("regression" if versions else "undecided")
        return named

    assert slower(1.2, 1.22, eager=1.0) is False
    assert slower(1.2, 1.22, eager=1.21) is True
    assert ("the machine, not the twins" in compared.out) == (not versions)
    assert slower(1.2, 1.8, eager=1.2) is False
    assert slower(1.0, 1.0, eager=1.2) is False
    assert slower(0.8, 0.8, eager=0.8) is False


def test_a_machine_that_changed_a_lot_leaves_more_in_doubt(compared):
    """Work that competes for the processor slows eager and twin by different factors."""
    assert compared(data.document(), data.slow_down(data.document(seed=1), 1.7, *TWIN, eager=1.5)) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert compared(data.document(), data.slow_down(data.document(seed=1), 3, *TWIN, eager=1.5)) == 1


@pytest.mark.parametrize("factor", [0.02, 0.4, 2.5, 100])
def test_an_absurd_control_judges_nothing(compared, factor):
    """In a run with other work on the cores, eager was a hundred times slower and the twin four times."""
    document = data.slow_down(data.document(seed=1), 1.0, *TWIN, eager=factor)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") == compared.verdict("speedup_vs_eager") == "UNSURE"
    assert "the machine changed too much to judge this row; run again" in compared.out
    twin = 3.9 if factor > 1 else 1 / 3.9
    assert compared(data.document(), data.slow_down(data.document(seed=1), twin, *TWIN, eager=factor)) == 0


def test_a_machine_that_became_faster_hides_no_regression(compared):
    document = data.slow_down(data.document(seed=1), 1.15, *TWIN, eager=0.88)
    assert compared(data.document(), document) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"


def test_an_eager_that_became_faster_alone_accuses_no_twin_and_is_shown(compared):
    """Eager of equal runs changed by an eighth while the twin did not."""
    document = data.slow_down(data.document(seed=1), 1.0, *TWIN, eager=0.8)
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert "unadjusted it is not WORSE" in compared.out


@pytest.mark.parametrize("which", [0, 1])
def test_an_unstable_run_makes_no_case_worse_and_says_why(compared, which):
    runs = [data.document(), data.slow_down(data.document(seed=1), 1.4, *TWIN)]
    reason = "others took 51% of the CPU"
    data.benchmark(runs[which], *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    assert compared(*runs) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert f"unreliable timing, {('base', 'new run')[which]}: {reason}: run again" in compared.out
    assert f"{reason}: run again" in compared.report["headline"]


@pytest.mark.parametrize("reason", ["others took 28% of the CPU; only 7 rounds", "drifted by +30%"])
@pytest.mark.parametrize(
    ("twin", "eager"), [(1.0, 1.0), (0.5, 1.0), (1.7, 1.0), (9.0, 1.0), (9.0, 2.5), (3.9, 0.4), (1.7, 1.7)]
)
def test_a_row_that_a_run_calls_unreliable_is_unsure_whatever_the_factor(compared, twin, eager, reason):
    """Even if it looks the same: a slow-down may hide behind a base that was disturbed."""
    new = data.slow_down(data.document(seed=1), twin, *TWIN, eager=eager)
    data.benchmark(new, *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    assert compared(data.document(), new) == 0
    assert compared.verdict("latency_p50_s") == "UNSURE"
    assert compared.report["outcome"] == "undecided"


def test_too_few_rounds_excuse_nothing(compared):
    """A twin that became ten times as slow has fewer rounds for it."""
    new = data.slow_down(data.document(seed=1), 10, *TWIN)
    data.benchmark(new, *TWIN)["extra_info"].update(stable=False, unstable_reason="only 7 rounds")
    assert compared(data.document(), new) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"


def test_a_peak_barely_beyond_the_limit_is_unsure(compared):
    """The host's peak differs by up to 12 % between equal runs."""
    for growth, verdict, code in ((1.09, "SAME", 0), (1.12, "UNSURE", 0), (1.2, "WORSE", 1)):
        grown = changed("startup", host_run_peak_bytes=int(200 * data.MIB * growth))
        assert compared(data.document(), grown) == code
        assert compared.verdict("host_run_peak_bytes") == verdict
        assert compared(grown, data.document()) == 0


@pytest.mark.parametrize(
    "key", ["torch", "cuda", "cudnn", "jetpack", "tensorrt", "tensorrt_rtx", "driver", "onnxruntime", "l4t"]
)
def test_eager_is_not_a_control_across_versions(compared, key):
    """A newer torch may make eager faster or slower. Neither makes the twin better or worse."""
    newer = data.document(seed=1, **{key: "99"})
    assert compared(data.document(), data.slow_down(newer, 1.3, *TWIN, eager=1.3)) == 1
    assert compared.verdict("latency_p50_s") == "WORSE"
    assert compared(data.document(), data.slow_down(newer, 1.0, *TWIN, eager=0.7)) == 0
    assert compared.verdict("latency_p50_s") == "SAME"
    assert compared.verdict("speedup_vs_eager") == "WORSE"
    assert "so it is not a control" in compared.out


def test_eager_itself_is_shown_and_never_gated(compared):
    document = data.document(seed=1, torch="2.9")
    extra = data.benchmark(document, "resnet18", "eager_fp32")["extra_info"]
    extra["latency_p50_s"] *= 2
    extra["blocks_s"]["twin"] = [block * 2 for block in extra["blocks_s"]["twin"]]
    assert compared(data.document(), document) == 0
    assert compared.verdict("latency_p50_s", ("resnet18", "eager_fp32")) == "WORSE"
