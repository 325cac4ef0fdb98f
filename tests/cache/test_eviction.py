"""Tests of eviction: the least recently used entries go first, never those in use or files of others."""

from __future__ import annotations

import contextlib
import errno
import os
import time

import pytest
from filelock import FileLock

from fixtures.cache import store
from fixtures.cache.disk import check_writable
from fixtures.cache.store import evict, find, make
from fixtures.common.errors import UserError
from tests.helpers.engine_entries import CONTENT, FACTS, as_new_process, entries, temporaries, writing


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    as_new_process(monkeypatch)


@pytest.fixture
def held(tmp_path):
    """Holds an entry's lock, as another process making it would; FileLock objects do not share a lock."""

    @contextlib.contextmanager
    def hold(name):
        with FileLock(str(tmp_path / f".{name}.lock")):
            yield

    return hold


def test_skips_entries_that_another_process_is_making(three, held, tmp_path):
    names, own = three
    with held(names[0]):
        started = time.monotonic()
        assert evict(tmp_path, 599 + 3 * own) == names[1:2], "one that can be removed makes room in its place"
        assert time.monotonic() - started < 5, "it waits for nobody"
    assert entries(tmp_path) == [names[0], names[2]]


def test_an_entry_that_cannot_be_removed_is_a_one_line_error_and_stays(three, tmp_path, monkeypatch):
    names, _ = three

    def refuse(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(UserError) as caught:
        evict(tmp_path, 0)
    assert str(caught.value).startswith(f"engine cache {tmp_path} cannot be written (Read-only file system): choose")
    assert entries(tmp_path) == names and not temporaries(tmp_path)


def test_the_sweep_skips_locked_entries_without_waiting(held, tmp_path):
    for name in ("made-0123456789ab", "dead-0123456789ab"):
        (tmp_path / f"{name}.x7.tmp").mkdir()
        (tmp_path / f"{name}.x7.tmp" / "half").write_bytes(b"half")
    with held("made-0123456789ab"):
        started = time.monotonic()
        check_writable(tmp_path)
        assert time.monotonic() - started < 5
    assert temporaries(tmp_path) == ["made-0123456789ab.x7.tmp"]
    check_writable(tmp_path)
    assert temporaries(tmp_path) == []


@pytest.fixture
def three(tmp_path):
    """Entries of 100, 200 and 300 bytes, used in this order by another process."""
    names = []
    for index, size in enumerate((100, 200, 300)):
        made = make(tmp_path, f"model{index}", FACTS, writing(b"x" * size), ".plan")
        os.utime(made.path.parent / "entry.json", (1000 + index, 1000 + index))
        names.append(made.path.parent.name)
    store._used.clear()
    own = sum((tmp_path / name / "entry.json").stat().st_size for name in names)
    return names, own // 3


def test_evicts_least_recently_used_first(three, tmp_path):
    names, own = three
    assert evict(tmp_path, 600 + 3 * own) == []
    assert evict(tmp_path, 599 + 3 * own) == names[:1]
    assert entries(tmp_path) == names[1:]
    assert evict(tmp_path, 0) == names[1:]
    assert evict(tmp_path / "absent", 0) == []


def test_a_hit_counts_as_a_use(three, tmp_path):
    names, own = three
    assert find(tmp_path, "model0", FACTS)
    store._used.clear()
    assert evict(tmp_path, 100 + own) == names[1:]


def test_never_evicts_entries_that_this_process_has_used(three, tmp_path):
    names, _ = three
    find(tmp_path, "model0", FACTS)
    make(tmp_path, "model3", FACTS, writing(), ".plan")
    evict(tmp_path, 0)
    assert {name.rsplit("-", 1)[0] for name in entries(tmp_path)} == {"model0", "model3"}


def test_never_evicts_anything_but_entries(tmp_path):
    (tmp_path / "images-000000000000").mkdir()
    (tmp_path / "images-000000000000" / "mine.jpg").write_bytes(CONTENT)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "entry.json").write_bytes(CONTENT)
    assert evict(tmp_path, 0) == []
    assert len(entries(tmp_path)) == 2
