"""The verdict at the end of a run: what decides the whole run comes last, and nothing is cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fixtures.plugins import summary
from fixtures.run.record import Record

REASON = "preprocess of mine fails for every image of the folder, see my_models.py:12"


class Reporter:
    """The parts of pytest's terminal reporter that the verdict needs, 40 characters wide."""

    isatty = True
    _tw = SimpleNamespace(fullwidth=40)

    def __init__(self, ended, tests):
        self.stats = {"passed": [SimpleNamespace(nodeid=name) for name in ended]}
        self._session = SimpleNamespace(items=[SimpleNamespace(nodeid=name) for name in tests])
        self.text = ""

    def section(self, title):
        self.text += f"== {title}\n"

    def write(self, text, **_):
        self.text += text

    def write_line(self, text):
        """Like pytest's: starts with a newline if the progress of the tests has none yet."""
        self.text += f"\n{text}\n"


def shown(exit_status, ended=("a",), tests=("a",), endings=()):
    record, reporter = Record(), Reporter(ended, tests)
    record.cases.append({"nodeid": "a", "model": "mine", "twin": "eager_fp32", "outcome": "failed", "reason": REASON})
    record.endings += endings
    summary._verdict(reporter, record, exit_status)
    return reporter.text.splitlines()


def test_a_long_line_is_wrapped_within_the_width_and_indented_with_nothing_lost():
    title, first, *more = shown(1)
    assert title == "== verdict" and first.startswith(" FAIL mine eager_fp32: a: ")
    assert all(len(line) <= 40 for line in (first, *more)) and all(line[:6] == " " * 6 for line in more)
    assert REASON in " ".join(line.strip() for line in (first, *more))


def test_what_decides_on_the_whole_run_comes_last():
    assert shown(1, endings=[("FAIL", "against b.json: Regression")])[-1] == " FAIL against b.json: Regression"


@pytest.mark.parametrize("tests, said", [("ab", "1 test not run"), ("abc", "2 tests not run")])
def test_an_interrupted_run_says_how_many_tests_did_not_run(tests, said):
    assert shown(pytest.ExitCode.INTERRUPTED, tests=tests)[-1] == f" FAIL interrupted: {said}"
    assert not any("interrupted" in line for line in shown(1, tests=tests))
