"""fixtures/compare reads damaged and hostile files: one line that names the place, and no memory spent on them."""

from __future__ import annotations

import copy
import json
import tracemalloc

import pytest

from fixtures.common.errors import UserError
from fixtures.compare.__main__ import main
from fixtures.compare.reading.document import run_of
from fixtures.compare.reading.load import load_runs
from fixtures.compare.writing import html
from tests.compare.writing.test_reports import report
from tests.helpers import compare_data as data

SMALL = data.document(models=("resnet18",), twins=("tensorrt_fp16",))
SMALL["suite"]["predictions"][0]["photographs"] = SMALL["suite"]["predictions"][0]["photographs"][:1]

DAMAGED = {
    "empty": "",
    "cut off": json.dumps(SMALL)[:5000],
    "not JSON": "resnet18 4.2 ms",
    "a list": "[]",
    "a number": "1",
    "no benchmarks": "{}",
    "NaN": json.dumps(SMALL).replace('"top1": 0.98', '"top1": NaN'),
    "infinite": json.dumps(SMALL).replace('"top1": 0.98', '"top1": 1e999'),
    "negative": json.dumps(SMALL).replace('"top1": 0.98', '"top1": -1'),
    "nested": "[" * 100_000,
    "a huge number": '{"benchmarks": [], "machine_info": {"ram_bytes": ' + "9" * 5000 + "}}",
    "another schema": json.dumps(SMALL).replace('"schema": 1', '"schema": 2'),
    "no schema": json.dumps(SMALL).replace('"schema": 1', '"scheme": 1'),
    "text for a number": json.dumps(SMALL).replace('"latency_p50_s": ', '"latency_p50_s": "x", "was": '),
    "a block of 0 s": json.dumps(SMALL).replace('"twin": [', '"twin": [0, '),
    "a duration of ages": json.dumps(SMALL).replace('"latency_p50_s": ', '"latency_p50_s": 1e308, "was": '),
    "a block of ages": json.dumps(SMALL).replace('"twin": [', '"twin": [1e300, '),
    "a block of nearly 0 s": json.dumps(SMALL).replace('"twin": [', '"twin": [5e-324, '),
    "blocks of both": json.dumps(
        {
            **SMALL,
            "benchmarks": [
                {**bench, "extra_info": {**bench["extra_info"], "blocks_s": {"twin": [1e-300, 1e300] * 5}}}
                for bench in SMALL["benchmarks"]
            ],
        }
    ),
    "an error of ages": json.dumps(SMALL).replace('"max_relative_error": ', '"max_relative_error": 1e308, "was": '),
    "memory of ages": json.dumps(SMALL).replace('"host_run_peak_bytes": ', '"host_run_peak_bytes": 1e301, "was": '),
    "too many blocks": json.dumps(SMALL).replace('"twin": [', f'"twin": [{"0.001, " * 200_000}'),
    "too many cases": json.dumps(SMALL).replace('"mutants": []', f'"mutants": [{"0, " * 200_000}0]'),
    "a million objects": '{"benchmarks": [' + "{}," * 1_000_001 + "{}]}",
    "unpaired blocks": json.dumps(SMALL).replace('"eager": [', '"eager": [0.01, '),
    "an unknown outcome": json.dumps(SMALL).replace('"passed"', '"perhaps"', 1),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_one_line_and_exit_code_2(tmp_path, capsys, text):
    good = data.write(tmp_path, "good.json", SMALL)
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    assert text != json.dumps(SMALL)
    assert main([str(good), str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"compare: {bad}")


def test_a_binary_or_missing_file_is_one_line(tmp_path, capsys):
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    for name in ("bad.json", "absent.json", "a\nb\x1b[31m.json"):
        assert main([str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "\x1b" not in err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "contains no .json file" in capsys.readouterr().err


@pytest.mark.parametrize("text", [DAMAGED["a million objects"], DAMAGED["too many blocks"]])
def test_a_flood_is_refused_before_it_fills_the_memory(tmp_path, text):
    path = tmp_path / "flood.json"
    path.write_text(text)
    tracemalloc.start()
    with pytest.raises(UserError):
        load_runs([path], pytest.fail)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.mark.parametrize("figure", ["latency_p95_s", "load_s", "build_s", "device_p50_s", "first_call_s"])
@pytest.mark.parametrize("seconds", [1e8, 1e300, 1e-12])
def test_no_time_is_longer_than_months_or_shorter_than_light_takes(figure, seconds):
    document = json.loads(json.dumps(SMALL))
    document["benchmarks"][1]["extra_info"][figure] = seconds
    with pytest.raises(UserError, match="expected (a duration|at most)"):
        run_of(document, "run")


def test_a_wrong_value_is_named_with_its_place(tmp_path, capsys):
    document = data.document()
    document["benchmarks"][1]["extra_info"]["latency_p50_s"] = True
    assert main([str(data.write(tmp_path, "run.json", document))]) == 2
    assert (
        "benchmarks[1].extra_info.latency_p50_s: expected a number, got true or false, True" in capsys.readouterr().err
    )


@pytest.mark.parametrize("seconds", [1e-10, 1e7])
@pytest.mark.parametrize("error", [1e-99, 1e100])
def test_the_most_extreme_figures_that_are_read_can_be_drawn(seconds, error):
    """Whatever passes the reader must not stop a report: once 1e308 overflowed an axis."""
    new = json.loads(json.dumps(SMALL))
    extra = data.benchmark(new, "resnet18", "tensorrt_fp16")["extra_info"]
    extra.update(latency_p50_s=seconds, device_p50_s=seconds, latency_p95_s=seconds)
    extra["blocks_s"]["twin"] = [1e-10, 1e7] * 5
    extra["blocks_s"]["eager"] = [1e7, 1e-10] * 5
    data.row(new, "agreement", "resnet18", "tensorrt_fp16")["max_relative_error"] = error
    for documents in ((SMALL, new), (new, SMALL), (new,), (SMALL, new, new)):
        assert "<svg" in html.render(report(*documents, allow_different=True))


@pytest.mark.parametrize("section", ["benchmarks", "agreement", "startup"])
def test_a_second_row_for_the_same_case_is_refused_and_not_taken_for_the_first(section):
    document = data.document()
    rows = document["benchmarks"] if section == "benchmarks" else document["suite"][section]
    rows.append(copy.deepcopy(rows[1]))
    with pytest.raises(UserError, match=rf"{section}\[\d+\]: a second row for .*, after .*{section}\[1\]; keep "):
        run_of(document, "run.json")
