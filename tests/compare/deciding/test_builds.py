"""Comparing runs with --build-only: engine size, build time and layers of the network."""

from __future__ import annotations

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import Compared

TWIN = ("resnet18", "tensorrt_rtx_fp16")


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def builds(**fields):
    """A run that built two engines and ran nothing."""
    document = data.document(models=("resnet18",), twins=(TWIN[1],))
    document["benchmarks"] = []
    suite = document["suite"]
    for section, rows in suite.items():
        if isinstance(rows, list) and section != "cases":
            suite[section] = []
    row = {"batch_size": 1, "build_s": 2.0, "network_layers": 60, "engine_bytes": 24 * data.MIB}
    row["host_build_peak_bytes"] = 900 * data.MIB
    suite["builds"] = [{"model": TWIN[0], "twin": twin, **row} for twin in ("tensorrt_rtx_tf32", TWIN[1])]
    suite["builds"][1].update(fields)
    ids = [f"benchmarks/test_build.py::test_build[resnet18-{row['twin']}]" for row in suite["builds"]]
    suite["cases"] = [
        {"nodeid": nodeid, "model": TWIN[0], "twin": row["twin"], "outcome": "passed", "reason": None}
        for nodeid, row in zip(ids, suite["builds"])
    ]
    return document


@pytest.mark.parametrize(
    "metric, value, gate",
    [("engine_bytes", 30 * data.MIB, "engine"), ("build_s", 9.0, "build"), ("network_layers", 75, "layers")],
)
def test_a_figure_that_grows_is_worse_and_fails_where_it_is_gated(compared, metric, value, gate):
    new = builds(**{metric: value})
    assert compared(builds(), new, options=("--fail-on", gate)) == 1
    assert compared.verdict(metric, TWIN) == "WORSE"
    assert compared(new, builds(), options=("--fail-on", gate)) == 0
    assert compared.verdict(metric, TWIN) == "BETTER"


def test_equal_builds_pass_and_an_engine_that_is_no_longer_built_is_missing(compared):
    gate = ("--fail-on", "engine,build,layers,missing")
    assert compared(builds(), builds(), options=gate) == 0
    fewer = builds()
    del fewer["suite"]["builds"][1], fewer["suite"]["cases"][1]
    assert compared(builds(), fewer, options=gate) == 1
