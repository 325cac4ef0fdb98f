"""Tests of atomic writes: through symbolic links, never over a device, and a failure keeps the old file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.common.files import unwritable, write_whole


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "runs").mkdir()
    link, target = tmp_path / "latest.json", tmp_path / "runs" / "today.json"
    link.symlink_to("runs/today.json")
    for old in (None, "old"):  # At first the link dangles.
        if old:
            target.write_text(old)
        assert unwritable(link) is None
        write_whole(link, b"new")
        assert link.is_symlink() and os.readlink(link) == "runs/today.json"
        assert target.read_text() == "new" and not target.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["latest.json", "runs"] and os.listdir(tmp_path / "runs") == ["today.json"]


def test_anything_but_a_regular_file_is_refused_and_kept(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "folder").symlink_to(tmp_path)
    refused = {
        Path(os.devnull): "it is not a regular file",
        tmp_path / "null": "it is not a regular file",
        tmp_path / "pipe": "it is not a regular file",
        tmp_path / "circle": "it is a loop of symbolic links",
        tmp_path: "it is a folder",
        tmp_path / "folder": "it is a folder",
    }
    before = sorted(os.listdir(tmp_path))
    for path, reason in refused.items():
        assert unwritable(path) == reason
        with pytest.raises(OSError, match=reason):
            write_whole(path, b"new")
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / "null").is_symlink()


def test_a_link_into_a_missing_folder_cannot_be_written(tmp_path):
    (tmp_path / "latest.json").symlink_to("absent/today.json")
    assert unwritable(tmp_path / "latest.json") == "No such file or directory"
    assert unwritable(tmp_path / "out.json") is None


def test_a_failed_replacement_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    path.write_text("old")

    def refuse(source, target):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        write_whole(path, b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["out.json"]
