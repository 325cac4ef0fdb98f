"""The HTML report in a real browser: no error, no request, tables that sort, hostile names that stay text."""

from __future__ import annotations

import json

import pytest

from fixtures.compare.writing import html, view
from tests.compare.writing.test_reports import HOSTILE, hostile, regression, report
from tests.helpers import browser
from tests.helpers import compare_data as data

REASON = browser.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

COLUMN = "return [...document.querySelectorAll('#figures tbody tr')].map(row => row.cells[{}].textContent)"
VALUES = "return [...document.querySelectorAll('#figures tbody tr')].map(row => Number(row.cells[{}].dataset.value))"
HEAD = "document.querySelectorAll('#figures thead th')[{}]"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    running = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the report on documents. Fails at the end if the page logged or requested anything."""

    def open_page(*documents):
        page = tmp_path / "page.html"
        page.write_text(html.render(report(*documents, allow_different=True)), encoding="utf-8")
        chromium.console(), chromium.requests()
        chromium.open(page)
        return chromium

    yield open_page
    assert chromium.console() == []
    # chrome:// is the browser's own first page, which it may still be loading.
    assert [url for url in chromium.requests() if not url.startswith(("file://", "data:,", "chrome://"))] == []


def test_a_table_sorts_by_mouse_and_keyboard(opened):
    page = opened(data.document(), regression())
    worst_first = page.run(COLUMN.format(0))
    assert worst_first[0] == "WORSE"
    assert page.run(f"return {HEAD.format(5)}.getAttribute('aria-sort')") is None
    page.run(f"{HEAD.format(3)}.querySelector('button').click()")
    assert page.run(f"return {HEAD.format(3)}.getAttribute('aria-sort')") == "ascending"
    values = page.run(VALUES.format(3))
    assert values == sorted(values)
    page.run(f"{HEAD.format(3)}.querySelector('button').focus()")
    for kind in ("keyDown", "keyUp"):
        page.command(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    assert page.run(f"return {HEAD.format(3)}.getAttribute('aria-sort')") == "descending"
    assert page.run(VALUES.format(3)) == sorted(values, reverse=True)
    page.run(f"{HEAD.format(0)}.querySelector('button').click()")
    assert page.run(COLUMN.format(0)) == worst_first
    assert page.run(f"return {HEAD.format(3)}.getAttribute('aria-sort')") is None


def test_a_table_sorts_by_names(opened):
    page = opened(data.document(), regression())
    page.run(f"{HEAD.format(1)}.querySelector('button').click()")
    names = page.run(COLUMN.format(1))
    assert names == sorted(names)
    comparison = report(data.document(), regression()).comparison
    assert len(names) == len(view.gated(comparison))
    others = page.run("return document.querySelectorAll('#others tbody tr').length")
    assert len(names) + others == len(comparison.judgements)


def test_rows_are_found_by_words_and_the_same_can_be_hidden(opened):
    page = opened(data.document(), regression())
    shown = "return [...document.querySelectorAll('#figures tbody tr')].filter(r => !r.hidden).map(r => r.textContent)"
    page.run("words.value = 'resnet18 FP16 latency'; words.dispatchEvent(new Event('input'))")
    (row,) = page.run(shown)
    assert "WORSE" in row
    page.run("words.value = ''; document.getElementById('loud').click()")
    rows = page.run(shown)
    assert rows
    assert not any("SAME" in row for row in rows)
    assert page.run("return document.getElementById('shown').textContent") == f"{len(rows)} rows"


def test_on_a_phone_each_row_is_a_card_with_its_change_in_sight(opened, chromium):
    chromium.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    page = opened(data.document(), regression())
    box = "document.querySelector('#figures tbody tr td[data-title=change]').getBoundingClientRect()"
    left, right = page.run(f"return [{box}.left, {box}.right]")
    assert 0 <= left < right <= 390
    shown = page.run("return [...document.querySelectorAll('#figures tbody tr')].filter(r => !r.hidden).length")
    assert shown == 1, "what is the SAME is hidden at first"
    page.command("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("width", [1300, 390])
def test_pages_of_real_runs_fit_a_desk_and_a_phone(opened, root, width):
    for name, count in (("cpu-2-cores", 2), ("h200-detection", 1), ("cpu-2-cores-detection", 3)):
        document = json.loads((root / "docs" / "runs" / f"{name}.json").read_text(encoding="utf-8"))
        page = opened(*[document] * count)
        page.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        assert page.run("return document.documentElement.scrollWidth") <= width
        shown = "[...document.querySelectorAll('svg text')].filter(text => text.getClientRects().length)"
        boxes = f"{shown}.map(text => text.getBoundingClientRect())"
        assert page.run(f"return Math.min(...{boxes}.map(box => box.height))") > 6
        text = page.run("return document.body.textContent")
        cases = {(bench["extra_info"]["model"], bench["extra_info"]["twin"]) for bench in document["benchmarks"]}
        assert [case for case in cases if " ".join(case) not in text] == []
    page.command("Emulation.clearDeviceMetricsOverride")


def test_every_region_and_control_has_a_name_of_its_own(opened):
    page = opened(data.document(), regression())
    page.run("for (const details of document.querySelectorAll('details')) details.open = true")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    named = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in ("region", "navigation", "main", "searchbox", "checkbox", "table", "figure", "banner"):
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert len(named["main"]) == len(named["banner"]) == len(named["navigation"]) == 1
    assert all(named["region"] + named["searchbox"] + named["checkbox"] + named["figure"])
    assert len(set(named["region"])) == len(named["region"]) > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_charts_can_be_read_in_light_and_dark(opened, scheme):
    page = opened(data.document(), regression())
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    contrasts = page.run("""
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const light = (colour) => {
          canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
          const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = (e) => {
          for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
          }
          return 'white';
        };
        const contrast = (one, other) => {
          const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
          return (bright + 0.05) / (dark + 0.05);
        };
        const found = {};
        for (const e of document.querySelectorAll('p, li, td, th, th button, .verdict, summary, a, svg text'))
          found[e.closest('svg') ? 'chart' : e.className || e.tagName] = contrast(
            e.closest('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color, paper(e));
        for (const e of document.querySelectorAll('svg use, svg path')) {
          const mark = e.style.stroke;
          if (mark.includes('series')) found[mark] = contrast(getComputedStyle(e).stroke, paper(e)) * 1.5;
        }
        return found;
    """)
    assert len(contrasts) > 10
    # 4.5 for text and 3 for the marks of a chart: WCAG 2.2, 1.4.3 and 1.4.11.
    assert {name: round(value, 1) for name, value in contrasts.items() if value < 4.5} == {}


def test_on_paper_nothing_is_cut(opened):
    page = opened(data.document(), regression())
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("return [...document.querySelectorAll('details')].every(details => details.open)")
    page.command("Emulation.setEmulatedMedia", media="print")
    overflows = "return [...document.querySelectorAll('.scroll')].map(e => getComputedStyle(e).overflowY)"
    assert set(page.run(overflows)) == {"visible"}
    page.command("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("documents", [1, 4])
def test_one_run_and_a_history_open_without_an_error(opened, documents):
    page = opened(*(data.document(seed=seed) for seed in range(documents)))
    # The charts of a single run are drawn twice: for a desktop and for a phone.
    assert page.run("return document.querySelectorAll('figure svg').length") == {1: 8, 4: 7}[documents]
    shown = "[...document.querySelectorAll('figure svg')].filter(svg => svg.getClientRects().length)"
    assert page.run(f"return {shown}.length") == {1: 4, 4: 7}[documents]
    assert page.run(f"return {shown}.every(svg => svg.getBoundingClientRect().height > 100)")


def test_charts_of_a_single_run_are_whole_on_a_phone(opened):
    page = opened(data.document())
    page.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    shown = "[...document.querySelectorAll('figure svg')].filter(svg => svg.getClientRects().length)"
    assert page.run(f"return {shown}.every(svg => svg.getBoundingClientRect().right <= 390)")
    inside = "svg => [...svg.querySelectorAll('text')].every(text => text.getBoundingClientRect().right <= 390)"
    assert page.run(f"return {shown}.every({inside})")
    page.command("Emulation.clearDeviceMetricsOverride")


def test_hostile_names_run_nothing_and_are_shown(opened):
    for name in HOSTILE[:4]:
        page = opened(*hostile(name))
        assert page.run("return document.scripts.length") == 1
        assert name in page.run("return document.body.textContent")
        assert page.run("return document.querySelectorAll('img, iframe, object, [onload], [onerror]').length") == 0
