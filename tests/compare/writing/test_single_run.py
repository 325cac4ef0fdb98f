"""The page of a single run: each chart shows its figures, whole axes, what is unreliable, and a table with the same."""

from __future__ import annotations

import base64
import copy
import io
import re

import pytest
from PIL import Image

from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.reading.document import run_of
from fixtures.compare.writing import html, markdown, single_run, terminal
from fixtures.compare.writing.charts import charts
from fixtures.compare.writing.single_run import worst
from fixtures.compare.writing.thumbnails import LONGEST, thumbnails
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")


def report(document):
    return make_report([run_of(document, "out.json")], parse_gate(DEFAULT_FAIL_ON), allow_different=False)


def chart(document, title):
    (found,) = [one for one in charts(report(document)) if one.title == title]
    return found


def unstable(document, reason="drifted by 20%"):
    document = copy.deepcopy(document)
    data.benchmark(document, *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    return document


def with_stages(document, **fields):
    document = copy.deepcopy(document)
    stages = {"decode_p50_s": 0.004, "preprocess_p50_s": 0.002, "run_p50_s": 0.01, "answer_p50_s": 0.001}
    row = {"model": TWIN[0], "twin": TWIN[1], "batch_size": 1, "frame_budget_s": 0.02, "stable": True}
    document["suite"]["end_to_end"] = [{**row, "unstable_reason": None, **stages, **fields}]
    return document


def with_where(document, image="bee_03.jpg", error=0.05):
    document = copy.deepcopy(document)
    data.row(document, "agreement", *TWIN)["where"] = {"photograph": image, "error": error}
    return document


def test_each_chart_has_a_table_with_a_row_per_case():
    for one in charts(report(with_stages(data.document()))):
        assert one.rows and all(len(row) == len(one.head) for row in one.rows), one.title
        assert "—" not in one.description


def test_latency_shows_blocks_and_hatches_what_is_unstable():
    steady, moved = (chart(one, "Latency per block") for one in (data.document(), unstable(data.document())))
    assert "<pattern" not in steady.svg and "<pattern" in moved.svg
    assert "2.0" in moved.svg and " unstable</text>" in moved.svg
    rows = {row[0]: row for row in moved.rows}
    assert rows["resnet18 tensorrt_fp16"][-1] == "drifted by 20%" and rows["resnet18 eager_fp32"][-1] == "yes"
    low, middle, high = (float(rows["resnet18 eager_fp32"][at].split()[0]) for at in (2, 1, 3))
    assert low <= middle <= high


def test_the_stages_stand_against_the_budget():
    found = chart(with_stages(data.document()), "Stages of a frame")
    assert "50/s (20.0 ms)" in found.description
    (row,) = found.rows
    assert row == ("resnet18 tensorrt_fp16", "2.00 ms", "10.0 ms", "1.00 ms", "4.00 ms", "13.0 ms", "20.0 ms", "yes")
    assert all(f">{stage}</text>" in found.svg for stage in ("preprocess", "run", "post-process", "decode"))
    assert "<pattern" not in found.svg
    moved = chart(with_stages(data.document(), stable=False, unstable_reason="hot"), "Stages of a frame")
    assert "<pattern" in moved.svg and moved.rows[0][-1] == "hot"


def test_an_older_run_has_no_budget():
    found = chart(with_stages(data.document(), frame_budget_s=None), "Stages of a frame")
    assert "which must fit" not in found.description and found.rows[0][-2] == "–"


def test_the_budget_is_in_sight_even_if_every_bar_is_short():
    found = chart(with_stages(data.document(), frame_budget_s=0.5), "Stages of a frame")
    assert re.search(r">500</text>", found.svg), "the axis must reach the budget"


def test_error_stands_against_speed_and_failing_twins_are_hollow():
    document = data.document()
    assert "does not agree" not in chart(document, "Error against speed").svg
    data.row(document, "agreement", *TWIN)["ok"] = False
    found = chart(document, "Error against speed")
    assert ">resnet18 does not agree</text>" in found.svg
    rows = {row[0]: row for row in found.rows}
    assert rows["resnet18 tensorrt_fp16"][1:] == ("5.00×", "0.003", "0.06", "no") or "×" in rows[" ".join(TWIN)][1]
    assert rows["resnet18 tensorrt_fp16"][-1] == "no" and rows["resnet18 tensorrt_fp32"][-1] == "yes"


def test_an_unstable_timing_gives_no_speed_up():
    found = chart(unstable(data.document()), "Error against speed")
    assert {row[0]: row[1] for row in found.rows}["resnet18 tensorrt_fp16"] == "unstable"


def test_an_error_of_zero_is_drawn():
    document = data.document(models=("resnet18",), twins=("tensorrt_fp16",))
    data.row(document, "agreement", *TWIN)["max_relative_error"] = 0.0
    assert chart(document, "Error against speed").rows[0][2] == "0"


def test_without_figures_there_is_no_chart():
    document = data.document()
    document["suite"].update(agreement=[], startup=[])
    for bench in document["benchmarks"]:
        bench["extra_info"].pop("device_run_peak_bytes")
    assert [one.title for one in charts(report(document))] == ["Latency per block"]
    document["benchmarks"] = []
    assert single_run.charts(report(document).runs[0], {}) == []


def test_the_worst_image_comes_with_both_predictions():
    document = with_where(data.document())
    document["suite"]["predictions"].append({**data.row(document, "predictions", *TWIN), "twin": "eager_fp32"})
    cards = worst.cards(report(document).runs[0])
    (card,) = [card for card in cards if card.case == " ".join(TWIN)]
    assert (card.image, card.reference, card.twin) == ("bee_03.jpg", "bee 90.0 %", "bee 90.0 %")
    assert card.finding == "largest change of an output: 0.05, 83% of the tolerance"


def test_an_image_that_changes_class_is_worse_than_any_error():
    document = with_where(data.document())
    eager = copy.deepcopy(data.row(document, "predictions", *TWIN))
    document["suite"]["predictions"].append({**eager, "twin": "eager_fp32"})
    changed = data.row(document, "predictions", *TWIN)["photographs"][7]
    changed.update(indices=[308], names=["fly"], probabilities=[0.6])
    card = worst.cards(report(document).runs[0])[0]
    assert (card.image, card.finding) == (changed["photograph"], "the most likely class changes")
    assert (card.reference, card.twin) == ("bee 90.0 %", "fly 60.0 %")


@pytest.mark.parametrize(
    ("section", "fields", "finding"),
    [
        ("detection", {"where": "a dog at 1, 2 is missing"}, "a dog at 1, 2 is missing"),
        ("segmentation", {}, "share of the pixels that changed class: 0.001"),
    ],
)
def test_boxes_and_masks_say_what_is_wrong_and_what_is_predicted_there(section, fields, finding):
    document = data.dense(data.document(), *TWIN)
    row = document["suite"][section][0]
    row.update(worst="street.jpg", **fields)
    (card,) = worst.cards(report(document).runs[0])
    assert (card.image, card.finding, card.twin) == ("street.jpg", finding, ""), "an older run lacks the predictions"
    row["worst_predictions"] = {"reference": ["dog 0.92", "cat 0.40"], "twin": []}
    (card,) = worst.cards(report(document).runs[0])
    assert (card.reference, card.twin) == ("dog 0.92, cat 0.40", "nothing")


def test_thumbnails_are_small_and_in_the_page(tmp_path):
    path = tmp_path / "bee_03.jpg"
    Image.effect_noise((4000, 3000), 80).convert("RGB").save(path)
    uri = thumbnails(["bee_03.jpg", "gone.jpg"], {"bee_03.jpg": path})
    assert list(uri) == ["bee_03.jpg"] and len(uri["bee_03.jpg"]) < 40_000
    picture = Image.open(io.BytesIO(base64.b64decode(uri["bee_03.jpg"].partition(",")[2])))
    assert max(picture.size) == LONGEST
    page = html.render(report(with_where(data.document())), {"bee_03.jpg": path})
    assert page.count('<img src="data:image/jpeg;base64,') == 1 and 'alt="bee_03.jpg"' in page
    assert "<img" not in html.render(report(with_where(data.document())))


def test_a_damaged_image_has_no_thumbnail(tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8torn")
    assert thumbnails(["torn.jpg"], {"torn.jpg": tmp_path / "torn.jpg"}) == {}


def test_the_text_behind_each_bar_has_room():
    slow = data.slow_down(unstable(data.document()), 50, *TWIN)  # The longest bar has the longest text.
    found = chart(slow, "Latency per block")
    for svg, most in ((found.svg, 619.2), (found.narrow, 316.8)):
        places = re.findall(r'<text [^>]*x="([0-9.]+)"[^>]*>([^<]* unstable)</text>', svg)
        assert places and all(float(x) + 4.2 * len(text) < most for x, text in places)


def test_an_unstable_timing_is_marked_in_every_form():
    made = report(unstable(data.document()))
    page, text = html.render(made), markdown.render(made)
    assert "2.00 ms !</td>" in page and ">unstable</td>" in page and "! unstable timing: do not rely on it" in page
    assert "| `resnet18 tensorrt_fp16` | 2.00 ms ! | unstable |" in text
    assert any("2.00 ms !" in line for line in terminal.render(made, colour=False))
    assert "unstable" not in html.render(report(data.document())).replace("is unstable:", "").replace("an unstable", "")


def test_the_page_says_what_was_found():
    page = html.render(report(data.document()))
    assert "<p>4 twins agree</p>" in page and "compared with" not in page
