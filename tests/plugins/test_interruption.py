"""Tests of Ctrl-C: the run is written and ends with exit code 2, whatever pytest makes of the first or a second one."""

from __future__ import annotations

import signal
import sys

import pytest

from fixtures.plugins.faults import _Interruption
from fixtures.run.session import SESSION


class Config:
    def __init__(self, session):
        self.stash = {} if session is None else {SESSION: session}


def interrupted():
    raise KeyboardInterrupt


@pytest.fixture
def excinfo():
    with pytest.raises(KeyboardInterrupt) as found:
        interrupted()
    return found


@pytest.mark.parametrize("ours", [True, False])
def test_further_ones_are_ignored_until_the_end_of_a_run_of_the_suite(excinfo, ours):
    before = signal.getsignal(signal.SIGINT)
    plugin = _Interruption(Config(object() if ours else None))
    try:
        plugin.pytest_keyboard_interrupt(excinfo)
        assert (signal.getsignal(signal.SIGINT) is signal.SIG_IGN) is ours
        plugin.pytest_unconfigure()
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before 3.11 each instruction has a line number")
def test_an_instruction_without_a_line_number_is_not_a_second_fault():
    """pytest subtracts 1 from the line, and ended with TypeError and exit code 1."""
    code = interrupted.__code__
    nowhere = bytes([0xFF] * (len(code.co_code) // 16 + 1))  # Each stands for eight instructions without a place.
    interrupted_nowhere = type(interrupted)(code.replace(co_linetable=nowhere), globals())
    with pytest.raises(KeyboardInterrupt) as found:
        interrupted_nowhere()
    with pytest.raises(TypeError):
        found.getrepr(funcargs=True)
    _Interruption(Config(None)).pytest_keyboard_interrupt(found)
    assert "KeyboardInterrupt" in str(found.getrepr(funcargs=True))
