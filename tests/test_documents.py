"""README and docs are true: links and options exist, the example runs, and CI runs the documented commands."""

from __future__ import annotations

import configparser
import json
import re
import shlex

import pytest

from fixtures import backends
from fixtures.compare.__main__ import _parser as comparison_parser
from fixtures.compare.judging import limits
from fixtures.compare.reading import metrics
from fixtures.models import model_files, zoo
from fixtures.plugins import options
from tests import documented_keys

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "images/README.md", "docs/runs/README.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[`&\s$])((?:python -m )?pytest (?:benchmarks|tests)[^`\n#|&]*|python -m [\w.]+[^`\n#|&]*)")
COMPARE = ["python", "-m", "fixtures.compare"]
# Options of pytest and of installed plugins. Ours come from the parser.
FOREIGN = re.compile(r"--(benchmark-|dist|co\b|collect-only|help|junitxml|system-site|no-build|durations|upgrade)")


@pytest.fixture(scope="module")
def pages(root):
    """The text of each page by its path."""
    paths = [root / name for name in PAGES] + sorted((root / "docs").glob("*.md"))
    return {path: path.read_text(encoding="utf-8") for path in paths}


def own_options():
    """The suite's own options, as `--name`."""
    parser = pytest.Parser(_ispytest=True)
    options.pytest_addoption(parser)
    return {name for group in parser._groups for option in group.options for name in option.names()}


def blocks(text, language):
    return [block for found, block in FENCED.findall(text) if found == language]


def commands(text):
    """The suite's commands in a page, each as a list of words."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(found.strip().rstrip(".,;:)")) for found in COMMAND.findall(joined)]


def anchors(page):
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_or_a_heading(pages, root):
    for path, text in pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            if not re.match(r"https?://", target):
                name, _, heading = target.partition("#")
                place = path.parent / name if name else path
                assert place.exists(), f"{path.name} links to {target}"
                assert not heading or heading in anchors(place), f"{path.name} links to {target}"


def test_the_page_of_options_lists_every_option_and_no_other(pages, root):
    rows = re.findall(r"^\| `(--[\w-]+)", pages[root / "docs" / "options.md"], re.MULTILINE)
    ours = own_options()
    assert [name for name in ours if name not in rows] == [], "options that docs/options.md lacks"
    assert [name for name in rows if name not in ours and not FOREIGN.match(name)] == [], "options that do not exist"


def test_the_page_of_limits_lists_every_metric(pages, root):
    table = pages[root / "docs" / "options.md"].partition("## Limits of a comparison")[2]
    names = re.findall(r"`([a-z0-9]+)`", " ".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE)))
    assert sorted(names) == sorted((*limits.DEFAULTS, limits.MISSING))


def test_every_metric_has_a_limit():
    assert {metric.gate for metric in (*metrics.SCALARS, metrics.LATENCY, metrics.SPEED_UP)} <= set(limits.DEFAULTS)


def test_the_page_of_options_names_every_model(pages, root):
    page = pages[root / "docs" / "options.md"]
    assert [name for name in zoo.MODELS if name not in page] == []


def test_the_page_of_options_names_every_twin_that_must_be_asked_for(pages, root):
    page = pages[root / "docs" / "options.md"]
    taken = {twin for tier in backends.default_tiers() for twin in tier}
    assert [twin for twin in backends.offered() if twin not in taken and f"`{twin}`" not in page] == []


def test_the_page_of_the_json_names_every_key(pages, root):
    page = pages[root / "docs" / "json.md"]
    rows = {key for keys in documented_keys.ROWS.values() for key in keys}
    checked = {*documented_keys.EXTRA_INFO, *documented_keys.MACHINE_INFO, *rows} - {"model", "twin", "batch_size"}
    missing = [key for key in sorted(checked) if f"`{key}`" not in page]
    assert missing == [], "keys that a run has and docs/json.md lacks"
    assert [name for name in documented_keys.SUITE if name not in page] == []


def test_readme_is_short_and_the_index_names_every_page(pages, root):
    assert len(pages[root / "README.md"].splitlines()) <= 130
    index = pages[root / "docs" / "README.md"]
    assert [path.name for path in pages if path.parent.name == "docs" and f"]({path.name})" not in index] == [
        "README.md"
    ]


def test_readmes_table_is_that_of_the_run_that_it_links_to(pages, root):
    page = pages[root / "README.md"]
    (name,) = re.findall(r"\[this run\]\(([^)]*)\)", page)
    run = json.loads((root / name).read_text(encoding="utf-8"))
    rows = {(row["model"], row["twin"]): row for row in (one["extra_info"] for one in run["benchmarks"])}
    steady = {key: row for key, row in rows.items() if "total_p50_s" not in row}
    steady.update({(row["model"], row["twin"]): row for row in run["suite"]["throughput"]})
    shown = re.findall(r"^ (\w+) +(\w+_fp32) +([\d.]+)", page, re.MULTILINE)
    assert len(shown) == 6
    for model, twin, latency_ms in shown:
        assert f"{steady[model, twin]['latency_p50_s'] * 1e3:.2f}" == latency_ms, (model, twin)


def test_every_option_in_a_command_exists(pages):
    ours, found = own_options(), 0
    for path, text in pages.items():
        for words in commands(text):
            if "pytest" in words[:3]:
                for word in words:
                    name = word.partition("=")[0]
                    if name.startswith("--") and not FOREIGN.match(name):
                        assert name in ours, f"{path.name}: {' '.join(words)}"
                        found += 1
    assert found > 5, "no commands were found"


def test_every_option_and_twin_of_the_comparison_and_the_upgrade_exists(pages, root):
    compare = {name for action in comparison_parser()._actions for name in action.option_strings}
    found = [words for text in pages.values() for words in commands(text) if words[:3] == COMPARE]
    assert len(found) > 3
    for words in found:
        assert [word for word in words if word.startswith("--") and word not in compare] == [], words
    upgrade = [words for words in commands(pages[root / "docs" / "upgrade.md"]) if "--twins" in words]
    assert len(upgrade) >= 8
    for words in upgrade:
        assert set(words[words.index("--twins") + 1].split(",")) <= set(backends.TWINS), words


def test_every_module_in_a_command_exists(pages, root):
    modules = {words[2] for text in pages.values() for words in commands(text) if words[:2] == ["python", "-m"]}
    ours = {name for name in modules if name.split(".")[0] in ("fixtures", "benchmarks", "tests")}
    assert "fixtures.compare" in ours
    for name in ours:
        place = root.joinpath(*name.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), name


def test_contributing_lists_the_folders_in_the_order_of_their_imports(pages, root):
    house = blocks(pages[root / "CONTRIBUTING.md"], "")[0].partition("fixtures/")[2].partition("\ntests/")[0]
    config = configparser.ConfigParser()
    config.read(root / ".importlinter")
    layers = config["importlinter:contract:storeys"]["layers"].split()
    folders = [name for name in reversed(layers) if (root / "fixtures" / name).is_dir()]
    assert re.findall(r"^  (\w+)/", house, re.MULTILINE) == folders


def test_ci_runs_the_readmes_test_command(pages, root):
    first, second = blocks(pages[root / "README.md"], "sh")[:2]
    assert first.rstrip().endswith("pytest benchmarks --benchmark-json out.json")
    command = second.strip().rpartition("&& ")[2]
    assert f"\n{command}\n" in (root / ".ci" / "run").read_text(encoding="utf-8")
    for workflow in (root / ".github" / "workflows").glob("*.yml"):
        for line in re.findall(r"pytest tests.*", workflow.read_text(encoding="utf-8")):
            assert line.strip().startswith(command), workflow.name


def test_readmes_example_of_an_own_model_runs(pages, root, tmp_path, monkeypatch):
    from PIL import Image

    (example,) = (block for block in blocks(pages[root / "README.md"], "python") if "ModelSpec(" in block)
    monkeypatch.setattr(zoo, "MODELS", dict(zoo.MODELS))
    path = tmp_path / "my_models.py"
    path.write_text(example, encoding="utf-8")
    before = set(zoo.MODELS)
    model_files.add_models(path)
    (name,) = set(zoo.MODELS) - before
    spec = zoo.MODELS[name]
    assert len(example.strip().splitlines()) < 20
    image = zoo.preprocessing(spec)(Image.new("RGB", (64, 48)))
    assert zoo.build_module(spec)(image[None]).shape == (1, 10)


def test_the_first_line_of_each_file_says_what_it_is_for(root):
    empty = []
    for folder in ("fixtures", "benchmarks", "tests"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if text and not re.match(r'(#!.*\n)?(r?""".{20,}|# .{20,})', text):
                empty.append(str(path.relative_to(root)))
    assert empty == []


def test_no_module_is_too_long_to_read(root):
    """A little over 250 lines where a split would separate what belongs together; never more."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (root / "fixtures").rglob("*.py")}
    assert {path.name: lines for path, lines in lengths.items() if lines > 265} == {}
