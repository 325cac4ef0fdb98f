"""Validation: fuzzes what the suite reads from users, with atheris. Bad input may only cause one-line errors.

`pip install atheris`, then `python -m benchmarks.validation.fuzz labels 300` fuzzes labels.csv for 300 s of CPU time.
The other targets are `run` (a run's JSON, compared), `entry` (the files of an engine-cache entry), `weights` (a state
dict on disk) and `picture` (an image's header and content). A finding is printed with its traceback and kept as
`crash-…` in the working folder. `… TARGET 0 crash-…` replays it.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import atheris

with atheris.instrument_imports(include=["twins", "csv", "json"]):
    from twins.cache import entry, store
    from twins.cache.entry import Refused
    from twins.common.errors import UserError
    from twins.compare.deciding.report import make_report
    from twins.compare.judging.limits import DEFAULT_FAIL_ON, parse_gate
    from twins.compare.reading.load import load_file
    from twins.compare.writing.markdown import render as render_markdown
    from twins.compare.writing.terminal import render
    from twins.images import decoding
    from twins.images import folder as image_folder

ROOT = Path(__file__).resolve().parent.parent.parent
FACTS = {"model": "resnet18", "input_shape": [1, 3, 224, 224]}
SLOWEST_S = 20.0  # of CPU time for one input; libFuzzer's own limit also counts the time that a process is stopped
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def fuzz_labels(data: bytes) -> None:
    """labels.csv with these bytes, in a folder with a.jpg and dog/b.jpg, and its labels for a model of four classes."""
    (FOLDER / "labels.csv").write_bytes(data)
    found = image_folder.list_images(FOLDER)
    image_folder.resolve_labels(found, ("tench", "crane", "Crane", "golden retriever"))
    assert all(FOLDER.resolve() in (FOLDER / image.name).resolve().parents for image in found)


def fuzz_run(data: bytes) -> None:
    """A run's JSON: these bytes, or, if the first is below 128, a complete run with values changed at random places."""
    if data[:1] < b"\x80":
        data = changed(json.loads((FOLDER / "whole.json").read_text()), data[1:])
    path = FOLDER / "run.json"
    path.write_bytes(data)
    runs = [load_file(path), load_file(FOLDER / "whole.json")]
    for compared in (runs, runs[::-1], runs[:1]):
        report = make_report(compared, parse_gate(DEFAULT_FAIL_ON), allow_different=True)
        text = "\n".join(render(report, colour=False)) + render_markdown(report)
        assert all(letter.isprintable() or letter == "\n" for letter in text), "a control character came through"


def changed(document: Any, data: bytes) -> bytes:
    """The document with some values replaced, as directed by the data."""
    provider = atheris.FuzzedDataProvider(data)
    for _ in range(provider.ConsumeIntInRange(1, 4)):
        parent, place = None, document
        while isinstance(place, (dict, list)) and place and (parent is None or provider.ConsumeIntInRange(0, 9)):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            parent, key = place, keys[provider.ConsumeIntInRange(0, len(keys) - 1)]
            place = place[key]
        if parent is not None:
            parent[key] = value(provider)
    return json.dumps(document).encode()


def value(provider: Any) -> Any:
    """Any value that JSON can represent, and some that it cannot."""
    makers: List[Callable[[], Any]] = [
        lambda: None,
        provider.ConsumeBool,
        lambda: provider.ConsumeIntInRange(-3, 3),
        lambda: provider.ConsumeInt(9),
        provider.ConsumeFloat,
        lambda: provider.ConsumeUnicode(12),
        lambda: [value(provider)],
        lambda: {provider.ConsumeUnicode(6): value(provider)},
        lambda: float("nan"),
    ]
    return makers[provider.ConsumeIntInRange(0, len(makers) - 1)]()


def fuzz_entry(data: bytes) -> None:
    """An entry of the engine cache with a different entry.json, or a different file: used whole or rebuilt."""
    directory = store._directory(FOLDER, "fuzzed", FACTS)
    if data[:1] < b"\x80":
        sealed = json.loads((directory / "entry.json").read_text())
        (directory / "entry.json").write_bytes(changed(sealed, data[1:]))
    else:
        (directory / ("entry.json" if data[:1] < b"\xc0" else "artefact.plan")).write_bytes(data[1:])
    entry._digests.clear()
    try:
        found = entry.unseal(directory, FACTS)
        assert found.path.parent == directory and found.path.read_bytes() == b"an engine", "a foreign file was used"
    except Refused as reason:
        one_line(reason)
    store.get_or_make(FOLDER, "fuzzed", FACTS, lambda path: path.write_bytes(b"an engine"), ".plan")


def fuzz_weights(data: bytes) -> None:
    """A file of weights with these bytes, for a model of one layer."""
    import torch

    from twins.models import weights
    from twins.models.zoo import ModelSpec

    path = FOLDER / "weights.pth"
    path.write_bytes(data)
    weights.load_model(ModelSpec("tiny", builder=lambda: torch.nn.Linear(2, 2), preprocess=abs), path)


def fuzz_picture(data: bytes) -> None:
    """An image with these bytes, decoded as the suite does."""
    path = FOLDER / "picture.jpg"
    path.write_bytes(data)
    picture = decoding.open_rgb(path)
    assert picture.mode == "RGB" and picture.width * picture.height <= decoding.MAX_PIXELS


def one_line(error: Exception) -> None:
    """Raises AssertionError if the message is not one printable line."""
    assert str(error).isprintable(), f"not one printable line: {str(error)!r}"


def seeds(target: str) -> List[bytes]:
    """The inputs that fuzzing starts from. Also writes the files that the targets expect."""
    from PIL import Image

    if target == "labels":
        for name in ("a.jpg", "dog/b.jpg"):
            (FOLDER / name).parent.mkdir(exist_ok=True)
            (FOLDER / name).write_bytes(b"")
        return [b"file,label\na.jpg,tench\n", b'\xef\xbb\xbffile,imagenet_index,x\n"dog/b.jpg",3,"a,b"\r\na.jpg,,\n']
    if target == "run":
        document = json.loads((ROOT / "docs" / "runs" / "cpu-2-cores.json").read_text())
        small(document)
        (FOLDER / "whole.json").write_text(json.dumps(document))
        return [b"\xff" + b'{"benchmarks": [], "machine_info": {}}', bytes(range(120)), b"\0" * 60]
    if target == "entry":
        made = store.make(FOLDER, "fuzzed", FACTS, lambda path: path.write_bytes(b"an engine"), ".plan")
        return [b"\0\1\2\3", b"\x80" + (made.path.parent / "entry.json").read_bytes(), b"\xffan engine"]
    if target == "weights":
        import torch

        made_of: List[Dict[str, Any]] = [{"_use_new_zipfile_serialization": new} for new in (True, False)]
        found = []
        for options in made_of:
            sink = io.BytesIO()
            torch.save(torch.nn.Linear(2, 2).state_dict(), sink, **options)
            found.append(sink.getvalue())
        return found
    decoding.MAX_PIXELS = 10**6  # Otherwise a few headers would take all the time.
    picture, found = Image.new("RGB", (9, 7), (200, 100, 50)), []
    for kind in decoding.FORMATS:
        for mode in ("RGB", "L", "P", "CMYK") if kind in ("TIFF", "JPEG") else ("RGB",):
            sink = io.BytesIO()
            converted = picture.convert(mode) if not (kind == "JPEG" and mode == "P") else picture
            exif = Image.Exif()
            exif[0x0112] = 6
            converted.save(sink, kind, **({"exif": exif} if kind != "BMP" else {}))
            found.append(sink.getvalue())
    return found


def small(document: Any) -> None:
    """Cuts a run down to its first model and two images, in place."""
    first = document["benchmarks"][0]["extra_info"]["model"]
    document["benchmarks"] = [row for row in document["benchmarks"] if row["extra_info"]["model"] == first]
    for row in document["benchmarks"]:
        row["stats"].pop("data", None)
    for name, rows in document["suite"].items():
        if isinstance(rows, list):
            document["suite"][name] = [row for row in rows if row.get("model") == first]
    for row in document["suite"]["predictions"]:
        row["photographs"] = row["photographs"][:2]


def main() -> None:
    """Fuzzes until the CPU time is used up; exits with 0 if nothing was found."""
    target, budget_s, *replay = sys.argv[1:]
    test = globals()[f"fuzz_{target}"]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(seeds(target)):
        (corpus / str(index)).write_bytes(seed)
    warnings.simplefilter("ignore")
    counts = {"inputs": 0, "refused": 0}

    def one(data: bytes) -> None:
        if not replay and time.process_time() > float(budget_s):
            print(f"{target}: {counts['inputs']} inputs, {counts['refused']} refused in one line, nothing found")
            sys.stdout.flush()
            os._exit(0)
        counts["inputs"] += 1
        start_s = time.process_time()
        try:
            test(data)
        except UserError as error:
            counts["refused"] += 1
            one_line(error)
        assert time.process_time() - start_s < SLOWEST_S, f"took {time.process_time() - start_s:.0f} s"

    files = replay or [str(corpus)]
    atheris.Setup([sys.argv[0], "-max_len=4096", "-timeout=86400", "-print_final_stats=0", "-verbosity=0", *files], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
