"""pytest-benchmark's table of some 230 columns is left out, even after Ctrl-C."""

from __future__ import annotations

import pytest

CASE = """
    import pytest

    @pytest.mark.parametrize("{names}", [("a", "x")])
    def test_stopped({names}, benchmark):
        left = [1, 2, 3]
        def call():
            if not left: raise KeyboardInterrupt
            left.pop()
        benchmark.pedantic(call, rounds=10)
"""
HIDE = """
    import pytest
    from fixtures.plugins.run_json import hide_table

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(config): hide_table(config)
"""


@pytest.mark.parametrize("names, hidden", [("model, twin", True), ("other, test", False)])
def test_the_table_is_left_out_after_an_interruption_unless_other_tests_want_it(
    pytester, root, monkeypatch, names, hidden
):
    monkeypatch.setenv("PYTHONPATH", str(root))
    pytester.makepyfile(CASE.format(names=names))
    pytester.makeconftest(HIDE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert ("OPS: Operations Per Second" not in result.stdout.str()) is hidden
