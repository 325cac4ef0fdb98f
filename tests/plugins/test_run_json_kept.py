"""Tests of a run's JSON that already exists, or that another run writes: nothing that was measured is lost."""

from __future__ import annotations

import json
import os
import signal
import types
from pathlib import Path

import pytest

from fixtures.plugins import run_json


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """Ends a run that found the file at its path as it is now. meanwhile: called before that. Returns the messages."""
    path = tmp_path / "out.json"
    monkeypatch.setattr(run_json, "document", lambda config: {"run": "this one"})
    monkeypatch.setattr(run_json.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "rescue"))
    (tmp_path / "rescue").mkdir()

    def end(meanwhile=lambda: None, started=True):
        session = types.SimpleNamespace(
            config=types.SimpleNamespace(stash=pytest.Stash()), exitstatus=0, shouldfail=False, shouldstop=False
        )
        stash = session.config.stash
        stash[run_json.PATH], stash[run_json.FOUND] = path, run_json._state(path)
        if started:
            stash[run_json.STARTED] = True
        meanwhile()
        run_json.pytest_sessionfinish(session, exitstatus=0)
        return stash[run_json.OUTCOME], session.exitstatus

    end.path = path
    return end


def test_a_run_that_started_no_case_leaves_what_is_there(ends):
    ends.path.write_text('{"run": "of last night"}')
    assert ends(started=False) == (f"No case ran: {ends.path} is unchanged", 0)
    assert json.loads(ends.path.read_text()) == {"run": "of last night"}
    assert ends() == (f"Wrote the run to {ends.path}", 0)
    assert json.loads(ends.path.read_text()) == {"run": "this one"}


@pytest.mark.parametrize("before", [None, "{}"])
def test_what_another_run_wrote_meanwhile_is_not_overwritten(ends, before):
    if before:
        ends.path.write_text(before)
    said, exit_code = ends(lambda: ends.path.write_text('{"run": "the other"}'))
    begin, _, rescued = said.rpartition("; it is in ")
    assert begin == f"The run could not be written to {ends.path}: another run has written it in the meantime"
    assert exit_code == pytest.ExitCode.TESTS_FAILED
    assert json.loads(ends.path.read_text()) == {"run": "the other"}
    assert json.loads(Path(rescued).read_text()) == {"run": "this one"}


def test_an_impatient_second_interrupt_does_not_stop_the_writing(ends, monkeypatch):
    write = run_json.write_whole

    def interrupted(path, data):
        os.kill(os.getpid(), signal.SIGINT)
        write(path, data)

    monkeypatch.setattr(run_json, "write_whole", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert ends()[0] == f"Wrote the run to {ends.path}"
    assert signal.getsignal(signal.SIGINT) == before
