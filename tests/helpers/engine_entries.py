"""What the tests of the engine cache keep in it, and how they look at it."""

from __future__ import annotations

import contextlib
import warnings

from fixtures.cache import store
from fixtures.common import files

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


def as_new_process(monkeypatch):
    """The state of a process that has neither read nor used an entry."""
    monkeypatch.setattr(store, "_used", set())
    monkeypatch.setattr(files, "_digests", {})


@contextlib.contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def temporaries(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())
