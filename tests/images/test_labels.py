"""Tests of labels.py: every kind of folder, every invalid labels.csv, and mapping labels to class indices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import pytest

from fixtures.common.errors import UserError
from fixtures.images import folder as image_folder
from fixtures.images import labels
from fixtures.images.folder import ListedImage
from fixtures.images.labels import Label
from tests.helpers.drawn import picture


def refused(folder: Path) -> str:
    """The message that refuses a folder."""
    with pytest.raises(UserError) as caught:
        image_folder.list_images(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels_csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    """A folder with a.jpg, b.jpg, dog/c.jpg and this labels.csv."""
    for name in ("a.jpg", "b.jpg", "dog/c.jpg"):
        picture(folder / name)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder


def test_flat_folder_is_unlabelled_and_sorted(tmp_path):
    for name in ("z.JPG", "b.png", "a.webp", "d.bmp", "c.tif"):
        picture(tmp_path / name)
    for name in ("notes.txt", ".hidden.jpg", "film.gif"):
        (tmp_path / name).write_bytes(b"x")
    found = image_folder.list_images(tmp_path)
    assert [image.name for image in found] == ["a.webp", "b.png", "c.tif", "d.bmp", "z.JPG"]
    assert all(image.written is None for image in found)


def test_sub_folders_are_classes_however_deep(tmp_path):
    for name in ("goldfish/1.jpg", "goldfish/more/2.jpg", "tabby/1.jpg", ".cache/1.jpg", "3.jpg"):
        picture(tmp_path / name)
    found = {image.name: image.written for image in image_folder.list_images(tmp_path)}
    assert found == {
        "goldfish/1.jpg": Label("goldfish"),
        "goldfish/more/2.jpg": Label("goldfish"),
        "tabby/1.jpg": Label("tabby"),
        "3.jpg": None,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "header, first, second",
    [
        ("file,imagenet_index", "281", "207"),
        ("file,label", "tabby", "207"),
        ("imagenet_name,file", "tabby", "golden retriever"),
        ("File , Imagenet_Index,remark", "281", "207"),
    ],
)
def test_labels_csv(tmp_path, encoding, header, first, second):
    def row(name: str, label: str) -> str:
        cells = {"file": name, "remark": '"a, b"'}
        return ",".join(cells.get(column.strip().lower(), label) for column in header.split(","))

    text = "\r\n".join((header, row("a.jpg", first), "", row("dog/c.jpg", second), ""))
    found = image_folder.list_images(labels_csv(tmp_path, text, encoding))
    index = "index" in header.lower()
    assert [(image.name, image.written) for image in found] == [
        ("a.jpg", Label(first, index)),
        ("dog/c.jpg", Label(second, index)),
    ]


def test_index_takes_precedence_over_name_and_an_empty_cell_is_unlabelled(tmp_path):
    folder = labels_csv(tmp_path, "file,imagenet_name,imagenet_index\na.jpg,tabby,281\nb.jpg,,\n")
    assert [image.written for image in image_folder.list_images(folder)] == [
        Label("281", is_index=True),
        None,
    ]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "needs `file` and one of imagenet_index, label, imagenet_name"),
        ("file\na.jpg\n", "needs `file` and one of"),
        ("name,label\na.jpg,1\n", "has the columns name, label"),
        ("file;label\na.jpg;1\n", "comma-separated"),
        ("file,label\na.jpg,1,2\n", "line 2: 3 cells under 2 columns"),
        ("file,label\na.jpg\n", "line 2: 1 cell under 2 columns"),
        ('file,label\n"a.jpg,1\n', "is not a CSV table"),
        ('file,label\n"a"b,1\n', "is not a CSV table"),
        ("file,label\na.jpg," + "x" * 200_000 + "\n", "is not a CSV table"),
        ("file,label\n\0,1\n", "labels.csv"),
        ("file,label\n", "no images"),
        ("file,label\na.jpg,1\n./a.jpg,2\n", "line 3: ./a.jpg is listed twice"),
        ("file,imagenet_index\na.jpg,-1\n", "line 2: imagenet_index is '-1'; it must be an integer, 0 or greater"),
        ("file,imagenet_index\nb.jpg,4\na.jpg,3.5\n", "line 3: imagenet_index is '3.5'"),
        ("file,imagenet_index\na.jpg,tabby\n", "imagenet_index is 'tabby'"),
        ("file,imagenet_index\na.jpg,²\n", "imagenet_index is '²'"),
        ("file,label\nx.jpg,1\na.jpg,1\n", "names files that are not in its folder: x.jpg; add"),
        ("file,label\n5.jpg,1\n4.jpg,1\n3.jpg,1\n2.jpg,1\n1.jpg,1\n", "5.jpg, 4.jpg, 3.jpg and 2 more"),
        ("file,label\ndog,1\n", "names files that are not in its folder: dog"),
        ("file,label\n" + "n" * 5000 + ".jpg,1\n", "labels.csv"),
        ("file,label\n\x1b[31mred.jpg,1\n", "\\x1b[31mred.jpg"),
        ('file,label\n"two\nlines.jpg",1\n', "two\\nlines.jpg"),
    ],
)
def test_wrong_labels_csv_is_refused_in_one_line(tmp_path, text, expected):
    assert expected in refused(labels_csv(tmp_path, text))


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "dog/../../out.jpg",
        "{root}/out.jpg",
        "/etc/passwd",
        "C:\\out.jpg",
        "link.jpg",
        "folder/out.jpg",
        "",
        ".",
        "loop.jpg",
    ],
)
def test_labels_csv_cannot_leave_its_folder(tmp_path, name):
    picture(tmp_path / "out.jpg")
    folder = labels_csv(tmp_path / "set", f"file,label\n{name.format(root=tmp_path)},1\n")
    (folder / "link.jpg").symlink_to(tmp_path / "out.jpg")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    message = refused(folder)
    # A loop of links leads nowhere: whether resolving it fails or ends where it began depends on the Python version.
    assert "is not a file inside" in message or (name == "loop.jpg" and "not in its folder" in message)


def test_labels_csv_may_use_a_link_that_stays_inside(tmp_path):
    folder = labels_csv(tmp_path, "file,label\nlink.jpg,1\n")
    (folder / "link.jpg").symlink_to(folder / "dog" / "c.jpg")
    assert image_folder.list_images(folder)[0].name == "link.jpg"


def test_labels_csv_in_another_encoding_is_refused(tmp_path):
    assert "is not UTF-8" in refused(labels_csv(tmp_path, "file,label\na.jpg,ä\n", "utf-16"))


def test_labels_csv_that_cannot_be_read_is_refused(tmp_path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").mkdir()
    assert "cannot read" in refused(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    assert "no such folder" in refused(tmp_path / "absent")
    assert "not a folder" in refused(tmp_path / "notes.txt")
    assert "no images" in refused(tmp_path)


def test_sub_folder_that_cannot_be_listed_is_refused_and_not_skipped(tmp_path, monkeypatch):
    picture(tmp_path / "tabby" / "1.jpg")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "tabby":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "cannot be listed: Permission denied" in refused(tmp_path)


CATEGORIES = ("tench", "goldfish", "crane", "golden retriever", "Crane", "drake")


def resolved(text: Optional[str]) -> Optional[int]:
    (image,) = image_folder.resolve_labels(
        [ListedImage(Path("p.jpg"), text if text is None else Label(text))], CATEGORIES
    )
    return image.label


@pytest.mark.parametrize(
    "text, label",
    [("0", 0), ("5", 5), ("005", 5), ("2", 2), ("goldfish", 1), ("Golden_Retriever", 3), (" TENCH", 0), (None, None)],
)
def test_label_by_index_and_by_name(text, label):
    assert resolved(text) == label


@pytest.mark.parametrize(
    "text, expected",
    [
        ("6", "out of range: this model has the classes 0 to 5"),
        ("9" * 6000, "out of range"),
        ("golfish", "did you mean 'goldfish'"),
        ("CRANE", "matches several classes; give the index: 2 or 4"),
        ("-1", "is not a class of this model"),
        ("zzzz", "no class name is similar"),
        ("gold\nfish", "'gold\\nfish'"),
    ],
)
def test_unknown_label_is_refused_with_similar_class_names(text, expected):
    with pytest.raises(UserError) as caught:
        resolved(text)
    assert expected in str(caught.value) and "p.jpg" in str(caught.value) and "\n" not in str(caught.value)


def test_shown_keeps_letters_and_escapes_control_characters():
    assert labels.shown("Bär \x1b[2J\u202e\n") == "Bär \\x1b[2J\\u202e\\n"
    assert labels.shown(os.fsdecode(b"\xff.jpg")) == "\\udcff.jpg"


NUMERIC = tuple(sorted(map(str, range(11))))  # As ImageFolder sorts folders: 0, 1, 10, 2 and so on.


@pytest.mark.parametrize("text, label", [("0", 0), ("10", 2), ("2", 3), ("9", 10)])
def test_a_number_that_is_a_class_name_means_that_class(text, label):
    assert labels.resolve([("p.jpg", Label(text))], NUMERIC) == [label]


@pytest.mark.parametrize("text, label", [("10", 9), ("0", 0), ("5", 4)])
def test_a_number_that_is_not_a_class_name_is_an_index(text, label):
    """Classes are named 1 to 10: 0 can only be an index."""
    assert labels.resolve([("p.jpg", Label(text))], [str(number) for number in range(1, 11)]) == [label]


@pytest.mark.parametrize("text", ["0", "2", "10"])
def test_a_number_in_a_column_of_indices_is_an_index_even_if_it_is_a_class_name(tmp_path, text):
    (image,) = image_folder.list_images(labels_csv(tmp_path, f"file,imagenet_index\na.jpg,{text}\n"))
    (resolved,) = image_folder.resolve_labels([image], NUMERIC)
    assert resolved.label == int(text) and NUMERIC[int(text)] != text or text == "0"


def test_all_wrong_labels_are_one_line_and_each_is_named_once():
    given = [("a.jpg", Label("hund")), ("b.jpg", Label("hund")), ("c.jpg", Label("katze")), ("d.jpg", Label("tench"))]
    with pytest.raises(UserError) as caught:
        labels.resolve(given, CATEGORIES)
    text = str(caught.value)
    assert text.startswith("label 'hund' of a.jpg is not a class") and text.endswith(
        "1 more cannot be resolved: 'katze'"
    )
    assert text.count("hund") == 1 and "b.jpg" not in text


def test_a_name_label_for_a_model_without_class_names_says_where_to_add_them():
    names = [str(index) for index in range(4)]
    assert labels.resolve([("p.jpg", Label("3"))], names) == [3]
    with pytest.raises(UserError, match="this model has no class names: add class_names to its ModelSpec") as error:
        labels.resolve([("p.jpg", Label("dog"))], names)
    assert "order of its 4 outputs" in str(error.value) and "\n" not in str(error.value)
