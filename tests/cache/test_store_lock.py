"""Tests of the engine cache between processes: what a kill and a race leave behind."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import types

import pytest

from fixtures.cache import disk, store
from fixtures.cache.disk import check_writable
from fixtures.cache.store import find, get_or_make, make
from tests.helpers.engine_entries import CONTENT, FACTS, NAME, as_new_process, no_warning, temporaries, writing


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    as_new_process(monkeypatch)


HALF_WRITER = """
import pathlib, sys, time
from fixtures.cache.store import get_or_make
def write(path):
    path.write_bytes(b"half")
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(60)
get_or_make(pathlib.Path(sys.argv[1]), sys.argv[3], {facts!r}, write, ".plan")
"""


@pytest.fixture
def killed_writer(tmp_path, root):
    """The cache folder after SIGKILL ended a process in the middle of its write; `alive` is the state before that."""
    ready = tmp_path / "ready"
    command = [sys.executable, "-c", HALF_WRITER.format(facts=FACTS), str(tmp_path / "cache"), str(ready), NAME]
    process = subprocess.Popen(command, cwd=str(root))
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None, "the writer ended early"
            assert time.monotonic() < deadline, "the writer did not start to write within 30 s"
            time.sleep(0.01)
        check_writable(tmp_path / "cache")
        alive = temporaries(tmp_path / "cache")
    finally:
        process.kill()
        process.wait()
    return types.SimpleNamespace(folder=tmp_path / "cache", alive=alive)


def test_a_killed_write_leaves_no_entry(killed_writer):
    assert len(temporaries(killed_writer.folder)) == 1
    with no_warning():
        assert find(killed_writer.folder, NAME, FACTS) is None
        made = get_or_make(killed_writer.folder, NAME, FACTS, writing(), ".plan")
    assert made.path.read_bytes() == CONTENT


def test_only_dead_writers_folders_are_removed(killed_writer):
    assert len(killed_writer.alive) == 1, "the folder of a live writer was swept"
    check_writable(killed_writer.folder)
    assert not temporaries(killed_writer.folder)


def make_slowly(folder, log, barrier, results):
    def write(path):
        with open(log, "a", encoding="utf-8") as lines:
            lines.write("built\n")
        time.sleep(0.3)
        path.write_bytes(CONTENT)

    barrier.wait(30)
    made = get_or_make(folder, NAME, FACTS, write, ".plan")
    results.put(made.path.read_bytes() == CONTENT)


@pytest.mark.parametrize("damaged", [False, True], ids=["absent", "damaged"])
def test_two_processes_at_once_build_once(damaged, tmp_path):
    if damaged:
        os.truncate(make(tmp_path, NAME, FACTS, writing(), ".plan").path, 100)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    log = tmp_path / "log"
    arguments = (tmp_path, log, barrier, results)
    processes = [context.Process(target=make_slowly, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    right = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    assert all(right)
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("gone", ["absent", "damaged and removed meanwhile", "made meanwhile"])
def test_changes_by_another_process_before_the_lock_is_acquired_are_seen(gone, tmp_path, monkeypatch):
    """Between the first check and the lock, another process may have removed or made the entry."""
    if gone == "damaged and removed meanwhile":
        os.truncate(make(tmp_path, NAME, FACTS, writing(), ".plan").path, 100)
    locked, write = disk.locked, writing(b"mine")

    @contextlib.contextmanager
    def after_another(directory, timeout_s=-1):
        with locked(directory, timeout_s):
            if gone == "made meanwhile" and not directory.exists():
                store._stored(directory, FACTS, writing(b"theirs"), ".plan")
            elif gone != "made meanwhile":
                shutil.rmtree(directory, ignore_errors=True)
            yield

    monkeypatch.setattr(disk, "locked", after_another)
    with no_warning():
        made = get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    theirs = gone == "made meanwhile"
    assert (made.path.name, made.path.read_bytes(), write.calls) == (
        ("artefact.plan", b"theirs", 0) if theirs else ("artefact.plan", b"mine", 1)
    )
    written = json.loads((made.path.parent / "entry.json").read_text())
    assert written["facts"] == FACTS, "the facts are its own, so that the next run finds it"
    monkeypatch.setattr(disk, "locked", locked)
    assert find(tmp_path, NAME, FACTS).path == made.path
