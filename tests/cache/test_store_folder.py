"""Tests of the engine cache's folder: private, with one-line errors if it is full, read-only or another user's."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import types

import pytest
from filelock import FileLock

from fixtures.cache.disk import check_writable
from fixtures.cache.store import get_or_make, make
from fixtures.common.errors import UserError
from tests.helpers.engine_entries import CONTENT, FACTS, NAME, as_new_process, entries, writing


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    as_new_process(monkeypatch)


def test_new_folder_is_private(tmp_path):
    check_writable(tmp_path / "made" / "cache")
    make(tmp_path / "made by store", NAME, FACTS, writing(), ".plan")
    for folder in ("made/cache", "made by store"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("use", [check_writable, lambda folder: make(folder, NAME, FACTS, writing(), ".plan")])
def test_unwritable_folder_is_a_one_line_error(use, tmp_path):
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
    made = make(tmp_path, NAME, FACTS, writing(), ".plan")
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, made.path.parent)]
    assert modes == [0o755, 0o700]


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UserError, match="belongs to another user, .*: use a folder of your own with --engine-dir"):
        check_writable(tmp_path)


@pytest.mark.parametrize("place", ["tempfile.mkdtemp", "os.rename"])
def test_a_disk_that_fills_up_around_the_write_is_a_one_line_error(tmp_path, monkeypatch, place):
    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    module, name = place.split(".")
    monkeypatch.setattr({"tempfile": tempfile, "os": os}[module], name, refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): choose another folder"):
        make(tmp_path, NAME, FACTS, writing(), ".plan")
    assert not entries(tmp_path)


def test_read_only_folder_is_a_one_line_error(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\): choose another folder"):
        check_writable(tmp_path)


def test_a_hit_needs_no_writable_folder(tmp_path, monkeypatch):
    make(tmp_path, NAME, FACTS, writing(), ".plan")

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setattr(FileLock, "acquire", refuse)
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


def test_full_disk_is_also_detected_by_its_free_space(tmp_path, monkeypatch):
    def write(path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    with pytest.raises(RuntimeError):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="disk was full"):
        get_or_make(tmp_path, NAME, FACTS, write, ".plan")
