"""Tests of what hangs in the suite's own process: stopped by --case-timeout wherever it is, and the run goes on."""

from __future__ import annotations

import json
import time

import pytest

from tests.helpers.cases import SESSION

CONFTEST = """
    import time, types
    import pytest
    from fixtures.run.settings import SETTINGS
    from fixtures.run.model import RunningModel
    from fixtures.plugins.cases import pytest_runtest_teardown

    def pytest_configure(config):
        config.stash[SETTINGS] = types.SimpleNamespace(case_timeout_s=0.5)

    class Running(RunningModel):
        def __init__(self, name):
            self.name = name
            self.hangs("start")

        def hangs(self, where):
            if self.name == f"hangs_at_{where}":
                self.name = "stopped"
                time.sleep(60)

        def close(self):
            self.hangs("close")

    @pytest.fixture(scope="session")
    def model(request, session):
        running = Running(request.param)
        yield running
        running.close()
"""
CASES = """
    import pytest

    models = pytest.mark.parametrize("model", ["hangs_at_start", "hangs_at_call", "hangs_at_close", "sound"],
                                     indirect=True, scope="session")

    @models
    def test_case(model):
        model.hangs("call")

    @models
    def test_another(model):
        pass
"""


@pytest.fixture
def hanging(pytester, root, monkeypatch):
    """One run in which starting, calling and closing hang, with a limit of half a second; returns it and its cases."""
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.makeconftest(CONFTEST + SESSION)
    pytester.makepyfile(CASES)
    plugins = ("no:cacheprovider", "no:hypothesispytest", "twins.plugins.faults", "twins.plugins.run_json")
    clock = time.monotonic()
    done = pytester.runpytest_subprocess(*(f"-p{plugin}" for plugin in plugins), "--benchmark-json", "out.json")
    assert time.monotonic() - clock < 50, "something slept to its end"
    return done, json.loads((pytester.path / "out.json").read_text())["suite"]["cases"]


def test_each_costs_its_case_and_not_the_run(hanging):
    done, cases = hanging
    assert done.ret == 1 and "Traceback" not in str(done.stdout)
    ended = [(case["nodeid"].split("::test_")[1], case["outcome"]) for case in cases]
    assert ended == [
        ("case[hangs_at_start]", "error"),
        ("another[hangs_at_start]", "error"),
        ("case[hangs_at_call]", "failed"),
        ("another[hangs_at_call]", "passed"),
        ("case[hangs_at_close]", "passed"),
        ("another[hangs_at_close]", "passed"),
        ("another[hangs_at_close]", "error"),
        ("case[sound]", "passed"),
        ("another[sound]", "passed"),
    ]
    reason = "showed no progress for 0.5 s and was stopped; give it more with --case-timeout"
    assert {case["reason"] for case in cases if case["outcome"] != "passed"} == {reason}
