"""Tests of the engine cache: hits, refusals, and what a failed write leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from fixtures.cache import store
from fixtures.cache.store import EngineWarning, find, get_or_make, make, trusted
from fixtures.common.errors import UserError
from tests.helpers.engine_entries import CONTENT, FACTS, NAME, as_new_process, entries, no_warning, temporaries, writing


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    as_new_process(monkeypatch)


def test_made_once_and_found_again(tmp_path):
    write = writing()
    with no_warning():
        assert find(tmp_path, NAME, FACTS) is None
        made = get_or_make(tmp_path, NAME, FACTS, write, ".plan")
        again = get_or_make(tmp_path, NAME, FACTS, write, ".plan")
        found = find(tmp_path, NAME, FACTS)
    assert write.calls == 1
    assert made.path.read_bytes() == CONTENT
    assert (made.bytes, made.digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert made.path == again.path == found.path
    assert (made.bytes, made.digest) == (found.bytes, found.digest)


def test_an_entry_documents_itself(tmp_path):
    made = make(tmp_path, NAME, FACTS, writing(), ".plan")
    (name,) = entries(tmp_path)
    assert name.startswith(f"{NAME}-")
    assert len(name) == len(NAME) + 13
    assert made.path == tmp_path / name / "artefact.plan"
    written = json.loads((tmp_path / name / "entry.json").read_text())
    assert written["facts"] == FACTS
    assert written["files"] == {"artefact.plan": {"bytes": len(CONTENT), "sha256": made.digest}}
    assert written["created"].endswith("+00:00")
    assert not temporaries(tmp_path)


def test_odd_characters_in_a_name_stay_inside_the_folder(tmp_path):
    made = make(tmp_path / "cache", "../../my model/é", FACTS, writing(), ".plan")
    assert made.path.parent.parent == tmp_path / "cache"
    assert made.path.parent.name.startswith("_.._my_model__-")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "resnet50"},
        {"weights": "b" * 64},
        {"input_shape": [2, 3, 224, 224]},
        {"input_shape": [1, 3, 224, 224, 1]},
        {"precision": "fp32"},
        {"versions": {"tensorrt": "10.3.1", "torch2trt": None}},
        {"versions": {"tensorrt": "10.3.0", "torch2trt": "0.5.0"}},
        {"versions": {"tensorrt": "10.3.0"}},
        {"workspace_bytes": 2**31},
        {"gpu": "NVIDIA H200"},
    ],
    ids=str,
)
def test_a_changed_fact_makes_a_new_entry(change, tmp_path):
    make(tmp_path, NAME, FACTS, writing(), ".plan")
    with no_warning():
        assert find(tmp_path, NAME, {**FACTS, **change}) is None
        get_or_make(tmp_path, NAME, {**FACTS, **change}, writing(b"other"), ".plan")
    assert len(entries(tmp_path)) == 2
    assert find(tmp_path, NAME, FACTS).path.read_bytes() == CONTENT


def test_order_of_facts_and_type_of_sequence_do_not_matter(tmp_path):
    make(tmp_path, NAME, FACTS, writing(), ".plan")
    same = {**dict(reversed(list(FACTS.items()))), "input_shape": (1, 3, 224, 224)}
    assert find(tmp_path, NAME, same)


def test_store_replaces(tmp_path):
    make(tmp_path, NAME, FACTS, writing(beside=["timing.cache"]), ".plan")
    make(tmp_path, NAME, FACTS, writing(b"new"), ".plan")
    found = find(tmp_path, NAME, FACTS)
    assert found.path.read_bytes() == b"new"
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["artefact.plan", "entry.json"]


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), KeyboardInterrupt(), UserError("one line")], ids=repr)
def test_a_failed_write_leaves_nothing(error, tmp_path):
    def write(path):
        path.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    assert not entries(tmp_path)
    assert get_or_make(tmp_path, NAME, FACTS, writing(), ".plan").path.read_bytes() == CONTENT


def test_a_failed_write_keeps_the_old_entry(tmp_path):
    make(tmp_path, NAME, FACTS, writing(), ".plan")
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, NAME, FACTS, lambda path: 1 / 0, ".plan")
    assert find(tmp_path, NAME, FACTS).path.read_bytes() == CONTENT


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(UserError, match="the build wrote nothing to artefact.plan"):
        make(tmp_path, NAME, FACTS, lambda path: None, ".plan")
    assert not entries(tmp_path)


def test_trusted_file_is_used_with_a_warning(tmp_path):
    path = tmp_path / "from a colleague.plan"
    path.write_bytes(CONTENT)
    with pytest.warns(EngineWarning, match="an engine is code that runs with your permissions"):
        cached = trusted(path)
    assert cached == store.Cached(path, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_pytest_shows_a_refusal(pytester, root):
    os.truncate(make(Path(pytester.path, "cache"), NAME, FACTS, writing(), ".plan").path, 100)
    pytester.makepyfile(
        f"""
        from pathlib import Path
        from fixtures.cache.store import get_or_make

        def test_engine():
            get_or_make(Path("cache"), {NAME!r}, {FACTS!r}, lambda path: path.write_bytes(b"new"), ".plan")
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*EngineWarning: engine cache:*is rejected and rebuilt: its artefact.plan has 100*"])
