"""Models for --model-file on a disk that can only be read from the build of the second on, as a worn memory card does.

The folder is $DISK; its state is the file $SEALED, which every process of the run looks at.
"""

from __future__ import annotations

import errno
import os
import pathlib
import sys

from fixtures.models.zoo import ModelSpec
from tests.model_files.tiny_models import Tiny, small

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _refuse(event, arguments):
    changes = event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING)
    if changes and str(arguments[0]).startswith(os.environ["DISK"]) and os.path.exists(os.environ["SEALED"]):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))


sys.addaudithook(_refuse)


def seal():
    pathlib.Path(os.environ["SEALED"]).touch()


MODELS = [
    ModelSpec("early", builder=Tiny, preprocess=small),
    ModelSpec("sealing", builder=lambda: Tiny(seal), preprocess=small),
    ModelSpec("late", builder=Tiny, preprocess=small),
]
