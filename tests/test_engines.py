"""The engine cache: what hits, what is refused, what a kill, a race and a full disk leave behind, what is evicted."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import pytest
from filelock import FileLock

from fixtures import engines, entry
from fixtures.engines import EngineWarning, check_writable, evict, find, get_or_make, store, trusted
from fixtures.errors import UserError

NAME = "resnet18-tensorrt_fp16-b1"
FACTS = {
    "model": "resnet18",
    "weights": "a" * 64,
    "input_shape": [1, 3, 224, 224],
    "precision": "fp16",
    "versions": {"tensorrt": "10.3.0", "torch2trt": None},
    "workspace_bytes": 2**30,
}
CONTENT = b"an engine" * 1000


def writing(content=CONTENT, beside=()):
    """A `write` that counts its calls in `.calls`."""

    def write(path):
        write.calls += 1
        path.write_bytes(content)
        for name in beside:
            (path.parent / name).write_bytes(b"beside")

    write.calls = 0
    return write


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """The state of a process that has neither read nor used an entry."""
    monkeypatch.setattr(engines, "_used", set())
    monkeypatch.setattr(entry, "_digests", {})


@contextlib.contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def temporaries(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


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
    assert (made.from_cache, again.from_cache, found.from_cache) == (False, True, True)
    assert made.path == again.path == found.path
    assert (made.bytes, made.digest) == (found.bytes, found.digest)


def test_an_entry_explains_itself(tmp_path):
    made = store(tmp_path, NAME, FACTS, writing(), ".plan")
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
    made = store(tmp_path / "cache", "../../my model/é", FACTS, writing(), ".plan")
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
def test_another_fact_is_another_entry(change, tmp_path):
    store(tmp_path, NAME, FACTS, writing(), ".plan")
    with no_warning():
        assert find(tmp_path, NAME, {**FACTS, **change}) is None
        get_or_make(tmp_path, NAME, {**FACTS, **change}, writing(b"other"), ".plan")
    assert len(entries(tmp_path)) == 2
    assert find(tmp_path, NAME, FACTS).path.read_bytes() == CONTENT


def test_order_of_facts_and_kind_of_sequence_do_not_matter(tmp_path):
    store(tmp_path, NAME, FACTS, writing(), ".plan")
    same = {**dict(reversed(list(FACTS.items()))), "input_shape": (1, 3, 224, 224)}
    assert find(tmp_path, NAME, same)


def test_store_replaces(tmp_path):
    store(tmp_path, NAME, FACTS, writing(beside=["timing.cache"]), ".plan")
    store(tmp_path, NAME, FACTS, writing(b"new"), ".plan")
    found = find(tmp_path, NAME, FACTS)
    assert found.path.read_bytes() == b"new"
    assert sorted(path.name for path in found.path.parent.iterdir()) == ["artefact.plan", "entry.json"]


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), KeyboardInterrupt(), UserError("one line")], ids=repr)
def test_a_failing_write_leaves_nothing(error, tmp_path):
    def write(path):
        path.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    assert not entries(tmp_path)
    assert get_or_make(tmp_path, NAME, FACTS, writing(), ".plan").path.read_bytes() == CONTENT


def test_a_failing_write_keeps_what_was_there(tmp_path):
    store(tmp_path, NAME, FACTS, writing(), ".plan")
    with pytest.raises(ZeroDivisionError):
        store(tmp_path, NAME, FACTS, lambda path: 1 / 0, ".plan")
    assert find(tmp_path, NAME, FACTS).path.read_bytes() == CONTENT


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(UserError, match="the build wrote nothing to artefact.plan"):
        store(tmp_path, NAME, FACTS, lambda path: None, ".plan")
    assert not entries(tmp_path)


HALF_WRITER = """
import pathlib, sys, time
from fixtures.engines import get_or_make
def write(path):
    path.write_bytes(b"half")
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(60)
get_or_make(pathlib.Path(sys.argv[1]), sys.argv[3], {facts!r}, write, ".plan")
"""


@pytest.fixture
def killed_writer(tmp_path, root):
    """The cache folder after a process was killed with SIGKILL in the middle of its write; `alive` before that."""
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


def test_only_the_dead_are_swept(killed_writer):
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
    results.put((made.from_cache, made.path.read_bytes() == CONTENT))


@pytest.mark.parametrize("damaged", [False, True], ids=["absent", "damaged"])
def test_two_processes_at_once_build_once(damaged, tmp_path):
    if damaged:
        os.truncate(store(tmp_path, NAME, FACTS, writing(), ".plan").path, 100)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    log = tmp_path / "log"
    arguments = (tmp_path, log, barrier, results)
    processes = [context.Process(target=make_slowly, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    answers = sorted(results.get(timeout=30) for _ in processes)
    for process in processes:
        process.join(30)
    assert answers == [(False, True), (True, True), (True, True)]
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("gone", ["absent", "damaged and removed meanwhile", "made meanwhile"])
def test_what_another_process_did_before_the_lock_was_had_decides(gone, tmp_path, monkeypatch):
    """Between the first look and the lock another process may have removed the entry, or made it."""
    if gone == "damaged and removed meanwhile":
        os.truncate(store(tmp_path, NAME, FACTS, writing(), ".plan").path, 100)
    locked, write = engines._locked, writing(b"mine")

    @contextlib.contextmanager
    def after_another(directory, timeout_s=-1):
        with locked(directory, timeout_s):
            if gone == "made meanwhile" and not directory.exists():
                engines._stored(directory, FACTS, writing(b"theirs"), ".plan")
            elif gone != "made meanwhile":
                shutil.rmtree(directory, ignore_errors=True)
            yield

    monkeypatch.setattr(engines, "_locked", after_another)
    with no_warning():
        made = get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    theirs = gone == "made meanwhile"
    assert (made.from_cache, made.path.name, made.path.read_bytes(), write.calls) == (
        (True, "artefact.plan", b"theirs", 0) if theirs else (False, "artefact.plan", b"mine", 1)
    )
    written = json.loads((made.path.parent / "entry.json").read_text())
    assert written["facts"] == FACTS, "the facts are its own, so that the next run finds it"
    monkeypatch.setattr(engines, "_locked", locked)
    assert find(tmp_path, NAME, FACTS).path == made.path


@pytest.fixture
def held(tmp_path):
    """Holds the lock of an entry, as another process that makes it does; FileLock is not shared between objects."""

    @contextlib.contextmanager
    def hold(name):
        with FileLock(str(tmp_path / f".{name}.lock")):
            yield

    return hold


def test_never_evicts_what_another_process_is_making_and_goes_on_with_the_next(three, held, tmp_path):
    names, own = three
    with held(names[0]):
        started = time.monotonic()
        assert evict(tmp_path, 599 + 3 * own) == names[1:2], "one that can be removed makes room in its place"
        assert time.monotonic() - started < 5, "it waits for nobody"
    assert entries(tmp_path) == [names[0], names[2]]


def test_what_cannot_be_removed_ends_in_one_line_and_stays(three, tmp_path, monkeypatch):
    names, _ = three

    def refuse(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(engines.os, "rename", refuse)
    with pytest.raises(UserError) as caught:
        evict(tmp_path, 0)
    assert str(caught.value).startswith(f"engine cache {tmp_path} cannot be written (Read-only file system): name")
    assert entries(tmp_path) == names and not temporaries(tmp_path)


def test_the_sweep_leaves_what_is_locked_and_waits_for_nobody(held, tmp_path):
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
    """Entries of 100, 200 and 300 bytes, used in this order, by another process."""
    names = []
    for index, size in enumerate((100, 200, 300)):
        made = store(tmp_path, f"model{index}", FACTS, writing(b"x" * size), ".plan")
        os.utime(made.path.parent / "entry.json", (1000 + index, 1000 + index))
        names.append(made.path.parent.name)
    engines._used.clear()
    own = sum((tmp_path / name / "entry.json").stat().st_size for name in names)
    return names, own // 3


def test_evicts_least_recently_used_first(three, tmp_path):
    names, own = three
    assert evict(tmp_path, 600 + 3 * own) == []
    assert evict(tmp_path, 599 + 3 * own) == names[:1]
    assert entries(tmp_path) == names[1:]
    assert evict(tmp_path, 0) == names[1:]
    assert evict(tmp_path / "absent", 0) == []


def test_a_hit_is_a_use(three, tmp_path):
    names, own = three
    assert find(tmp_path, "model0", FACTS)
    engines._used.clear()
    assert evict(tmp_path, 100 + own) == names[1:]


def test_never_evicts_what_this_process_has_used(three, tmp_path):
    names, _ = three
    find(tmp_path, "model0", FACTS)
    store(tmp_path, "model3", FACTS, writing(), ".plan")
    evict(tmp_path, 0)
    assert {name.rsplit("-", 1)[0] for name in entries(tmp_path)} == {"model0", "model3"}


def test_never_evicts_what_is_not_an_entry(tmp_path):
    (tmp_path / "photographs-000000000000").mkdir()
    (tmp_path / "photographs-000000000000" / "mine.jpg").write_bytes(CONTENT)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "entry.json").write_bytes(CONTENT)
    assert evict(tmp_path, 0) == []
    assert len(entries(tmp_path)) == 2


def test_new_folder_is_private(tmp_path):
    check_writable(tmp_path / "made" / "cache")
    store(tmp_path / "made by store", NAME, FACTS, writing(), ".plan")
    for folder in ("made/cache", "made by store"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("use", [check_writable, lambda folder: store(folder, NAME, FACTS, writing(), ".plan")])
def test_unwritable_folder_is_one_line(use, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(UserError) as caught:
            use(folder)
        assert f"engine cache {folder} cannot be written" in str(caught.value)
        assert "--engine-dir" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_that_others_can_write_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(UserError, match="can be written by other users, .*: chmod go-w"):
        check_writable(tmp_path)


def test_a_folder_that_others_can_read_keeps_its_mode_and_the_entries_are_private(tmp_path):
    tmp_path.chmod(0o755)
    check_writable(tmp_path)
    made = store(tmp_path, NAME, FACTS, writing(), ".plan")
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, made.path.parent)]
    assert modes == [0o755, 0o700]


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(engines.os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user, .*: name a folder of your own with --engine-dir"):
        check_writable(tmp_path)


@pytest.mark.parametrize("place", ["tempfile.mkdtemp", "os.rename"])
def test_a_disk_that_fills_up_around_the_write_is_one_line(tmp_path, monkeypatch, place):
    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    module, name = place.split(".")
    monkeypatch.setattr(getattr(engines, module), name, refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): name another folder"):
        store(tmp_path, NAME, FACTS, writing(), ".plan")
    assert not entries(tmp_path)


def test_read_only_folder_is_one_line(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(engines.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\): name another folder"):
        check_writable(tmp_path)


def test_a_hit_needs_no_writable_folder(tmp_path, monkeypatch):
    store(tmp_path, NAME, FACTS, writing(), ".plan")

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(engines.os, "utime", refuse)
    monkeypatch.setattr(engines.tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setattr(engines.FileLock, "acquire", refuse)
    assert get_or_make(tmp_path, NAME, FACTS, writing(b"new"), ".plan").path.read_bytes() == CONTENT


def full_disk(path):
    path.write_bytes(bytes(3 * 2**20))
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_names_folder_and_size(tmp_path):
    with pytest.raises(UserError, match=r"disk was full after 3\.0 MiB of resnet18.*, which needs more") as caught:
        get_or_make(tmp_path, NAME, FACTS, full_disk, ".plan")
    assert f"engine cache {tmp_path}:" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not entries(tmp_path)


def test_full_disk_is_known_by_its_free_space_too(tmp_path, monkeypatch):
    def write(path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    with pytest.raises(RuntimeError):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    monkeypatch.setattr(engines.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="disk was full"):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")


def test_trusted_file_comes_with_a_warning(tmp_path):
    path = tmp_path / "from a colleague.plan"
    path.write_bytes(CONTENT)
    with pytest.warns(EngineWarning, match="an engine is code that runs with your rights"):
        cached = trusted(path)
    assert cached == engines.Cached(path, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), from_cache=True)


def test_pytest_shows_a_refusal(pytester, root):
    os.truncate(store(Path(pytester.path, "cache"), NAME, FACTS, writing(), ".plan").path, 100)
    pytester.makepyfile(
        f"""
        from pathlib import Path
        from fixtures.engines import get_or_make

        def test_engine():
            get_or_make(Path("cache"), {NAME!r}, {FACTS!r}, lambda path: path.write_bytes(b"new"), ".plan")
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*EngineWarning: engine cache:*is refused and made anew: its artefact.plan has 100*"])
