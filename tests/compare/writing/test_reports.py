"""fixtures/compare reports: terminal, markdown, HTML, JSON. Everything that comes from a run stays text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from fixtures.compare.deciding.report import make_report
from fixtures.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
from fixtures.compare.reading.document import run_of
from fixtures.compare.writing import as_json, html, markdown, terminal
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "</style></title></details><h1>",
    "`code` | bar || \\| **bold** [link](https://example.com) @someone #1",
    "-->]]><!--",
    "$\\frac{1}{0$",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b[0m\r\nnew line\u202e",
    "javascript:alert(1)",
    "=1+1",
    " ",
)
VOID = {"meta", "link", "input", "br"}
TAGS = set(
    "html head meta link title style body header h1 div p ul li nav a main section h2 table thead tr th tbody td span"
    " details summary label input caption button figure figcaption h3 svg defs g path use clippath rect text tspan"
    " script".split()
)


def report(*documents, allow_different=False):
    runs = [run_of(document, f"run-{index}.json") for index, document in enumerate(documents)]
    return make_report(runs, parse_gate(DEFAULT_FAIL_ON), allow_different)


def regression():
    document = data.slow_down(data.document(seed=1, jetpack="7.0", tensorrt="10.13"), 1.2, *TWIN)
    document = data.without(document, "mobilenet_v2", "tensorrt_fp32")
    data.row(document, "predictions", *TWIN)["photographs"][3].update(indices=[308], names=["fly"], probabilities=[0.6])
    return document


def hostile(name):
    """Two runs in which everything that a user or a file can name has the given name."""
    document = data.document(models=("resnet18",), **dict.fromkeys(("node", "gpu", "jetpack", "tensorrt"), name))
    document["benchmarks"][0]["name"] = name
    text = json.dumps(document).replace('"resnet18"', json.dumps(name)).replace("bee_00.jpg", json.dumps(name)[1:-1])
    base = json.loads(text)
    new = json.loads(text)
    for section, fields in (
        ("cases", {"outcome": "failed", "reason": name}),
        ("agreement", {"max_relative_error": 1.0}),
        ("weights", {"recipe": name}),
    ):
        rows = new["suite"][section]
        (rows[-1] if isinstance(rows, list) else rows).update(fields)
    new["suite"]["predictions"][0]["photographs"][0].update(indices=[1], names=[name])
    return base, new


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where a tag is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def test_the_page_shows_verdict_machines_and_every_case():
    text = html.render(report(data.document(), regression()))
    page = Page(text)
    shown = " ".join("".join(page.texts).split())
    for words in ("Regression: 2 findings", "mobilenet_v2 tensorrt_fp32: vanished", "10.13", "JetPack differs",
                  "Decisions that changed", "fly 60.0 %", "Exit code 1"):  # fmt: skip
        assert words in shown, words
    for model in data.MODELS:
        for twin in ("eager_fp32", *data.TWINS):
            assert f"{model} {twin}" in shown
    # The table of figures has a row per judgement.
    assert text.count("<tr data-verdict=") == len(report(data.document(), regression()).comparison.judgements)


def test_the_page_loads_nothing():
    for documents in ([data.document()], [data.document(), regression()], [data.document(seed=s) for s in range(4)]):
        page = Page(html.render(report(*documents)))
        links = [(tag, name, value) for tag, name, value in page.attributes if name in ("href", "src", "xlink:href")]
        assert all(value.startswith("#") or value == "data:," for _, _, value in links)
        assert not {"img", "iframe", "object", "embed", "form", "base"} & set(page.tags)
        assert page.tags.count("script") == page.tags.count("style") == 1
        assert "url(http" not in html.render(report(*documents))


def test_the_page_can_be_read_without_eyes_or_mouse():
    page = Page(html.render(report(data.document(), regression())))
    heads = page.tags.count("th")
    assert sum(tag == "th" and name == "scope" for tag, name, _ in page.attributes) == heads
    assert page.tags.count("button") >= 8
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    labelled = [value for _, name, value in page.attributes if name == "aria-labelledby"]
    assert set(labelled) <= set(ids)
    # A chart is described in words and by the table; its marks are not read out one by one.
    assert page.tags.count("figcaption") == sum(t == "svg" and n == "aria-hidden" for t, n, _ in page.attributes) == 2


def test_charts_take_their_colours_from_the_page():
    text = html.render(report(data.document(), regression()))
    svg = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--series-2)" in svg
    assert not re.findall(r"(?:fill|stroke): *#[0-9a-f]{6}", svg)
    assert "mobilenet_v2 tensorrt_fp16</text>" in svg


def test_axes_are_labelled_with_numbers_and_no_formulas():
    for runs in (1, 4):
        text = html.render(report(*(data.document(seed=seed, torch=f"2.15.{seed}+cu132") for seed in range(runs))))
        assert "mathdefault" not in text
        assert ">0.001</text>" in text
    assert ">2.15.0</text>" in text and ">2.15.3</text>" in text


def test_a_history_has_a_field_per_model_keyed_by_versions():
    documents = [data.document(seed=s, jetpack=f"6.{s}", tensorrt=f"10.{s}") for s in range(4)]
    text = html.render(report(*documents))
    assert ">JetPack, TensorRT, torch</text>" in text
    assert ">10.3</text>" in text
    assert "over 4 runs, oldest first" in text


def test_one_run_is_a_page_and_markdown_too():
    one = report(data.document())
    assert "4 twins agree" in html.render(one) and "## ✅ `4 twins agree`" in markdown.render(one)
    assert "| `resnet18 tensorrt_fp16` | 2.00 ms |" in markdown.render(one)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name):
    base, new = hostile(name)
    for documents in ((base, new), (base,), (base, new, new)):
        made = report(*documents, allow_different=True)
        page = Page(html.render(made))
        assert set(page.tags) <= TAGS
        assert page.tags.count("script") == page.tags.count("style") == page.tags.count("h1") == 1
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown.render(made))
        tags = set(re.findall(r"<(/?\w+)", rendered)) - {"/blockquote"}
        allowed = {"h2", "ul", "li", "p", "code", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "strong",
                   "details", "summary"}  # fmt: skip
        assert {tag.lstrip("/") for tag in tags} <= allowed
        assert "@someone" not in re.sub(r"<code>.*?</code>", "", rendered, flags=re.DOTALL)
        lines = terminal.render(made, colour=False)
        assert all(line.isprintable() for line in lines)
        assert json.loads(as_json.render(made))


def test_a_hostile_name_is_shown_as_it_is():
    page = Page(html.render(report(*hostile("<b>bold</b>"), allow_different=True)))
    assert any("<b>bold</b> tensorrt_fp16" in text for text in page.texts)


def test_every_markdown_table_keeps_its_columns():
    for name in HOSTILE:
        text = markdown.render(report(*hostile(name), allow_different=True))
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            widths = {len(re.sub(r"`[^`]*`", "", line).split("|")) for line in table.splitlines()}
            assert len(widths) == 1, table


def test_markdown_fits_a_comment_however_many_cases():
    models = [f"model_with_a_long_name_{number}" for number in range(60)]
    base, new = (data.document(models=models, seed=seed) for seed in (0, 1))
    for model in models:
        data.row(new, "agreement", model, "tensorrt_fp16")["max_relative_error"] = 0.9
        data.row(new, "cases", model, "eager_fp32").update(outcome="failed", reason="x" * 200)
    text = markdown.render(report(base, new))
    assert 20_000 < len(text) < 65_536
    assert "more rows; the HTML page has them all" in text
    assert text.count("<details>") == text.count("</details>") > 0


def test_markdown_fits_a_comment_however_many_runs():
    """With the longest names and reasons. The base and the newest runs are its columns."""
    base, *runs = (data.document(models=("resnet18",), seed=s, torch=f"2.{s}{'x' * 190}") for s in range(60))
    for run in runs:
        for row in run["suite"]["cases"]:
            row.update(outcome="failed", reason="y" * 200)
    long = [run_of(one, f"{'folder/' * 25}run-{number}.json") for number, one in enumerate((base, *runs))]
    text = markdown.render(make_report(long, parse_gate(DEFAULT_FAIL_ON), allow_different=False))
    assert len(text) < 65_536
    (head,) = [line for line in text.splitlines() if line.startswith("|  | `base: ")]
    assert "run-0.json" in head and "run-59.json" in head and "run-55.json" in head and "run-54.json" not in head
    assert "54 more runs between them" in text
    assert "### " not in text and text.count("<details>") == text.count("</details>")


def test_markdown_opens_with_the_verdict_and_collapses_the_rest():
    text = markdown.render(report(data.document(), regression()))
    assert text.startswith("## ❌ Regression: 2 findings\n")
    assert text.index("🔴 WORSE") < text.index("<details>") < text.index("⚪ SAME")
    assert "| **TensorRT** | `10.3.0` | `10.13` |" in text
    assert markdown.render(report(data.document(), data.document(seed=1))).startswith("## ✅ No regression\n")


def test_the_terminal_shows_the_verdict_first_and_gated_rows_before_others():
    lines = terminal.render(report(data.document(), regression()), colour=False)
    rows = [line.split() for line in lines if line.startswith((" WORSE", " SAME", " UNSURE", " BETTER"))]
    words = [row[0] for row in rows]
    assert words == ["WORSE", "SAME", "SAME", "WORSE"] and "speed-up" in rows[-1]
    assert lines[0].startswith("Regression: 2 findings; worst: resnet18 tensorrt_fp16, latency: 2.00 ms → ")
    assert "JetPack 6.2 → 7.0, TensorRT 10.3.0 → 10.13" in " ".join(lines[:3])
    text = " ".join(" ".join(lines).split())
    assert "measure again: pytest benchmarks --models resnet18 --twins tensorrt_fp16 --benchmark-json" in text
    assert "\x1b[" in "".join(terminal.render(report(data.document(), regression()), colour=True))


def test_the_command_that_measures_again_has_the_options_of_the_run():
    slower = regression()
    slower["suite"]["options"] = ["--model-file", "my models.py", "--images=/data"]
    lines = terminal.render(report(data.document(), slower), colour=False)
    text = " ".join(" ".join(lines).split())
    assert "--twins tensorrt_fp16 --model-file 'my models.py' --images=/data --benchmark-json again.json" in text


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width):
    for documents in ((data.document(), regression()), (data.document(),), [data.document(seed=s) for s in range(4)]):
        lines = terminal.render(report(*documents), colour=False, width=width)
        assert max(map(len, lines)) <= width
        assert not any(line.endswith("…") for line in lines), "nothing is cut off"


@pytest.mark.parametrize("width", [80, 100])
def test_no_word_is_broken_where_there_is_room_for_it(width):
    lines = terminal.render(report(data.document(), regression()), colour=False, width=width)
    words = {word for line in lines for word in line.split()}
    assert {
        "mobilenet_v2",
        "tensorrt_fp16:" if width < 100 else "tensorrt_fp16",
        "latency",
        "WORSE",
        "speed-up",
    } <= words
    assert any(" 2.00 ms → " in line for line in lines), "figures stay on one line"


def test_an_undecided_run_says_so_in_every_report():
    new = data.slow_down(data.document(seed=1), 1.3, *TWIN)
    reason = "others took 28% of the CPU"
    data.benchmark(new, *TWIN)["extra_info"].update(stable=False, unstable_reason=reason)
    made = report(data.document(), new)
    line = f"Undecided: 1 of 48 gated figures; new run: {reason}: run again"
    assert terminal.render(made, colour=False, width=200)[0].startswith(line)
    assert markdown.render(made).startswith(f"## ❔ {line}\n")
    assert f"? {line}" in "".join(Page(html.render(made)).texts)
    assert json.loads(as_json.render(made))["headline"] == line


def test_a_history_shows_days_commits_and_where_a_regression_began():
    documents = []
    for day in range(1, 5):
        document = data.slow_down(data.document(seed=day), 1.3 if day > 2 else 1.0, *TWIN)
        document["commit_info"]["id"], document["datetime"] = f"c0ffee{day}", f"2026-03-0{day}T10:00:00"
        documents.append(document)
    made = report(*documents)
    page = html.render(made)
    cells = '<td>2026-03-03 10:00</td><th scope="row">run-2.json</th><td>c0ffee3</td><td></td><td>resnet18 tensorrt'
    assert cells in page and "since run-2.json" in page
    assert ">03-03</text>" in page and ">c0ffee3</text>" in page
    assert "| `2026-03-03 10:00` | `run-2.json` | `c0ffee3` |  | `resnet18 tensorrt_fp16" in markdown.render(made)
    lines = terminal.render(made, colour=False, width=160)
    assert any("2026-03-03 10:00" in line and "c0ffee3" in line for line in lines)


def test_charts_show_the_worst_change_on_top():
    made = report(data.document(), regression())
    (chart,) = [chart for chart in html.charts(made) if chart.title == "Change of latency"]
    names = re.findall(r">((?:resnet18|mobilenet_v2) \w+)</text>", chart.svg)
    assert names[0] == "resnet18 tensorrt_fp16" and names[-1].endswith("eager_fp32")
    assert "change, %" in chart.svg


def test_json_is_for_machines():
    made = json.loads(as_json.render(report(data.document(), regression())))
    assert (made["schema"], made["exit_code"]) == (1, 1)
    worst = made["judgements"][0]
    assert worst["metric"] == "latency_p50_s"
    assert worst["interval"][0] < worst["change"] < worst["interval"][1]
    assert made["runs"][1]["jetpack"] == "7.0"
