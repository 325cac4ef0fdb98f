"""The headline of a single run says what was found, and no more than the run supports."""

from __future__ import annotations

import pytest

from fixtures.compare.deciding.alone import headline
from fixtures.compare.reading.document import run_of
from tests.helpers import compare_data as data

TWIN = ("resnet18", "tensorrt_fp16")


def said(document):
    return headline(run_of(document, "out.json"))


def with_outcome(outcome, case=TWIN, tests=("test_agreement",), document=None):
    document = document or data.document()
    for row in document["suite"]["cases"]:
        if (row["model"], row["twin"]) == case and any(f"::{test}[" in row["nodeid"] for test in tests):
            row.update(outcome=outcome, reason="got 3")
    return document


def test_all_agree():
    assert said(data.document()) == "4 twins agree"
    assert said(data.document(models=("resnet18",), twins=("tensorrt_fp16",))) == "1 twin agrees"


def test_one_fails_and_is_named_with_its_checks():
    assert said(with_outcome("failed")) == "3 twins agree, 1 fails: resnet18 tensorrt_fp16 (agreement)"
    both = with_outcome("failed", tests=("test_agreement", "test_latency"))
    assert said(both) == "3 twins agree, 1 fails: resnet18 tensorrt_fp16 (latency, agreement)"
    assert said(with_outcome("error")) == said(with_outcome("failed"))


def test_many_failures_are_counted():
    document = data.document()
    for row in document["suite"]["cases"]:
        row["outcome"] = "failed" if row["twin"] != "eager_fp32" else "passed"
    assert said(document).startswith("4 fail: resnet18 tensorrt_fp32 (latency, agreement), resnet18 tensorrt_fp16 (")
    assert said(document).endswith(") and 2 more")


@pytest.mark.parametrize("reference", ["eager_fp32", "reference_onnxruntime_fp32"])
def test_the_reference_is_not_a_twin_but_its_failure_counts(reference):
    document = data.document(models=("resnet18",))
    for section in ("cases", "startup", "accuracy"):
        for row in document["suite"][section]:
            row["twin"] = row["twin"].replace("eager_fp32", reference)
            if "nodeid" in row:
                row["nodeid"] = row["nodeid"].replace("eager_fp32", reference)
    assert said(document) == "2 twins agree"
    failed = with_outcome("failed", ("resnet18", reference), ("test_latency",), document)
    assert said(failed) == f"2 twins agree, 1 fails: resnet18 {reference} (latency)"


def test_a_twin_without_a_judgement_is_only_measured():
    document = data.document(models=("resnet18",))
    document["suite"]["agreement"] = []
    assert said(document) == "2 twins measured, not judged"


def test_skipped_twins_are_counted():
    document = with_outcome("skipped", tests=("test_agreement", "test_latency"))
    assert said(document) == "3 twins agree, 1 twin skipped"


def test_a_file_of_another_project_is_not_judged():
    assert said(data.plain(data.document())) == "6 benchmarks measured, nothing was judged"
