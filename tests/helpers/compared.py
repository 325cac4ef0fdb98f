"""Compares documents as the command does, and keeps the results."""

from __future__ import annotations

import json

import pytest

from fixtures.compare.__main__ import WIDTH, main
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")


class Compared:
    """Compares documents and keeps the results."""

    def __init__(self, tmp_path, capsys):
        self.folder, self.capsys = tmp_path, capsys

    def __call__(self, *documents, options=()):
        paths = [str(data.write(self.folder, f"{index}.json", one)) for index, one in enumerate(documents)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", str(WIDTH))  # The tests' terminal would break the lines.
            self.code = main([*paths, "--json", str(self.folder / "report"), *options])
        self.out, self.err = self.capsys.readouterr()
        self.report = json.loads((self.folder / "report").read_text()) if self.code != 2 or self.out else None
        return self.code

    def verdict(self, metric, case=TWIN):
        (found,) = [j for j in self.report["judgements"] if (j["model"], j["twin"], j["metric"]) == (*case, metric)]
        return found["verdict"]


def changed(section, **fields):
    """A document in which one object of `suite` differs."""
    document = data.document(seed=1)
    data.row(document, section, *TWIN).update(fields)
    return document
