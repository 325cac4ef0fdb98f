"""Tests of an entry's checks: any damage is reported in one line and rebuilt, and no file is read twice."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import warnings
from datetime import datetime, timedelta, timezone

import pytest

from fixtures.cache import entry, store
from fixtures.cache.store import EngineWarning, find, get_or_make, make
from fixtures.common import files
from fixtures.common.errors import UserError

NAME = "resnet18-tensorrt_fp16-b1"
FACTS = {"model": "resnet18", "precision": "fp16"}
CONTENT = b"an engine" * 1000


def write(path):
    path.write_bytes(CONTENT)


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Resets the state to that of a process that has neither read nor used an entry."""
    monkeypatch.setattr(store, "_used", set())
    monkeypatch.setattr(files, "_digests", {})


@pytest.fixture
def directory(tmp_path):
    """An intact entry."""
    return make(tmp_path, NAME, FACTS, write, ".plan").path.parent


def rewritten(directory, **changes):
    path = directory / "entry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def swapped_for_a_link(path):
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def flipped(path):
    """Flips one bit; keeps size and modification time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def outside(directory):
    (directory.parent / "outside").write_bytes(CONTENT)
    files = {"../outside": {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}}
    rewritten(directory, file="../outside", files=files)


DAMAGES = {
    "truncated": (lambda d: os.truncate(d / "artefact.plan", 100), "artefact.plan has 100 bytes, expected 9000"),
    "grown": (lambda d: (d / "artefact.plan").write_bytes(CONTENT + b"x"), "artefact.plan has 9001 bytes"),
    "flipped": (lambda d: flipped(d / "artefact.plan"), "the checksum of its artefact.plan is wrong"),
    "missing": (lambda d: (d / "artefact.plan").unlink(), "artefact.plan cannot be read (No such file"),
    "link": (lambda d: swapped_for_a_link(d / "artefact.plan"), "artefact.plan is not a regular file"),
    "folder": (lambda d: [(d / "artefact.plan").unlink(), (d / "artefact.plan").mkdir()], "is not a regular file"),
    "linked entry": (swapped_for_a_link, "symbolic link"),
    "file as entry": (lambda d: [shutil.rmtree(d), d.write_bytes(b"")], "entry.json is missing or garbled"),
    "no entry.json": (lambda d: (d / "entry.json").unlink(), "entry.json is missing or garbled"),
    "empty entry.json": (lambda d: os.truncate(d / "entry.json", 0), "entry.json is missing or garbled"),
    "binary entry.json": (lambda d: (d / "entry.json").write_bytes(b"\xff\x00"), "entry.json is missing or garbled"),
    "half entry.json": (lambda d: os.truncate(d / "entry.json", 40), "entry.json is missing or garbled"),
    "deep entry.json": (lambda d: (d / "entry.json").write_text("[" * 10**6), "entry.json is missing or garbled"),
    "list as entry.json": (lambda d: (d / "entry.json").write_text("[]"), "entry.json is missing or garbled"),
    "odd files": (lambda d: rewritten(d, files=[1]), "entry.json is missing or garbled"),
    "odd size": (lambda d: rewritten(d, files={"artefact.plan": {"bytes": "9", "sha256": 1}}), "missing or garbled"),
    "unknown file": (lambda d: rewritten(d, file="other.plan"), "entry.json is missing or garbled"),
    "odd file": (lambda d: rewritten(d, file=["artefact.plan"]), "entry.json is missing or garbled"),
    "file outside": (outside, "lists '../outside', which is outside the entry"),
    "other facts": (lambda d: rewritten(d, facts={**FACTS, "precision": "fp32"}), "made from other facts"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
def test_damage_is_refused_in_one_line_and_rebuilt(damage, seen, directory, tmp_path):
    """`seen`: this process verified the entry before the damage."""
    damaging, reason = DAMAGES[damage]
    if seen:
        assert find(tmp_path, NAME, FACTS)
    else:
        files._digests.clear()
    damaging(directory)
    with pytest.warns(EngineWarning) as caught:
        made = get_or_make(tmp_path, NAME, FACTS, lambda path: path.write_bytes(b"rebuilt"), ".plan")
    (message,) = [str(warning.message) for warning in caught]
    assert reason in message
    assert str(directory) in message
    assert "\n" not in message
    assert made.path.read_bytes() == b"rebuilt"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find(tmp_path, NAME, FACTS).path.read_bytes() == b"rebuilt"
    assert not list(tmp_path.glob("*.tmp"))


def test_find_removes_what_it_refuses(directory, tmp_path):
    os.truncate(directory / "artefact.plan", 100)
    with pytest.warns(EngineWarning):
        assert find(tmp_path, NAME, FACTS) is None
    assert not directory.exists()


def test_a_linked_entry_is_removed_and_its_target_kept(directory, tmp_path):
    swapped_for_a_link(directory)
    with pytest.warns(EngineWarning):
        assert find(tmp_path, NAME, FACTS) is None
    assert (tmp_path / "elsewhere" / "artefact.plan").read_bytes() == CONTENT


def test_a_file_is_read_once_per_process(directory, tmp_path, monkeypatch):
    read = []

    def counting(name, *arguments):
        read.append(name)
        return open(name, *arguments)

    monkeypatch.setattr(files, "open", counting, raising=False)
    find(tmp_path, NAME, FACTS)
    assert read == [], "the file was read again although it had been read when it was stored"
    files._digests.clear()
    find(tmp_path, NAME, FACTS)
    find(tmp_path, NAME, FACTS)
    assert read == [directory / "artefact.plan"]


def test_files_beside_it_count_and_are_verified(tmp_path):
    def write_two(path):
        path.write_bytes(CONTENT)
        (path.parent / "weights.data").write_bytes(b"beside")

    made = make(tmp_path, NAME, FACTS, write_two, ".onnx")
    assert made.bytes == len(CONTENT) + len(b"beside")
    (made.path.parent / "weights.data").write_bytes(b"besidE")
    with pytest.warns(EngineWarning, match="the checksum of its weights.data is wrong"):
        assert find(tmp_path, NAME, FACTS) is None


def test_the_stored_and_the_found_file_are_the_same(tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    made = make(tmp_path, NAME, FACTS, write, ".plan")
    found = find(tmp_path, NAME, FACTS)
    assert (made.bytes, made.digest) == (len(CONTENT), digest)
    assert (found.bytes, found.digest, found.path) == (len(CONTENT), digest, made.path)


def test_an_entry_records_its_facts_and_when_it_was_made(directory):
    found = json.loads((directory / "entry.json").read_text())
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (found["file"], found["facts"]) == ("artefact.plan", FACTS)
    assert found["files"] == {"artefact.plan": {"bytes": len(CONTENT), "sha256": digest}}
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found["created"])
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)


def test_equal_facts_have_the_same_bytes_and_values_json_lacks_are_refused():
    assert entry.canonical({"a": 1, "b": (2, 3)}) == entry.canonical({"b": [2, 3], "a": 1}) == b'{"a": 1, "b": [2, 3]}'
    with pytest.raises(ValueError):
        entry.canonical({"a": math.nan})


def test_a_write_that_creates_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="^the build wrote nothing to artefact.plan: "):
        make(tmp_path, NAME, FACTS, lambda path: None, ".plan")
