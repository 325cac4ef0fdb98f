"""Whole runs of a pair of files: --reference, an ONNX file, and --engine, with names and shapes of other tools."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.helpers import foreign

QUICK = ("--benchmark-max-time", "0.02")


@pytest.fixture(scope="module")
def pair(root, run_pytest, tmp_path_factory):
    """pair(reference, engine, …options): the finished run and its JSON; images: five of the suite's."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "images").mkdir()
    for name in ("bee_01", "hen_01", "macaw_01", "toucan_01", "castle_01"):
        shutil.copy(root / "images" / f"{name}.jpg", folder / "images")

    def run(reference, engine, *options):
        out = folder / "out.json"
        out.unlink(missing_ok=True)
        command = [root / "benchmarks", "-p", "no:cacheprovider", "--images", folder / "images", *QUICK]
        command += ["--engine-dir", folder / "engines", "--benchmark-json", out]
        done = run_pytest([*command, "--reference", reference, "--engine", engine, *options])
        return done, json.loads(out.read_text(encoding="utf-8")) if out.exists() else None

    run.folder = folder
    return run


def scaled(path, factor=1.0, classes=5, size=4, names=("pixels", "scores"), batch=1, extra=()):
    """A linear layer on N×3×size×size, in a file with these names; factor: of its weights."""
    import onnx
    from onnx import numpy_helper

    foreign.linear(path, *names, batch=batch, features=3 * size * size, classes=classes, extra=extra)
    model = onnx.load(str(path))
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(factor * numpy_helper.to_array(weights), weights.name))
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_value = size
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def equal(pair):
    """Two files that differ only in their names. The reference's batch size is open."""
    reference = scaled(pair.folder / "model.onnx", batch="batch")
    engine = scaled(pair.folder / "team.onnx", names=("x", "y"))
    return pair(reference, engine, "--html", pair.folder / "page.html")


def test_every_check_runs_and_passes(equal):
    done, document = equal
    assert done.returncode == 0, done.stdout
    cases = {case["nodeid"].split("::")[1]: case for case in document["suite"]["cases"]}
    skipped = {name: case["reason"] for name, case in cases.items() if case["outcome"] == "skipped"}
    assert skipped == {"test_accuracy[model.onnx-onnxruntime_fp32]": "the images have no labels"}
    ran = {name.partition("[")[0] for name, case in cases.items() if case["outcome"] == "passed"}
    assert ran == {
        *("test_agreement", "test_end_to_end", "test_latency", "test_photographs", "test_repeatability"),
        *("test_sensitivity", "test_startup", "test_top1"),
    }


def test_the_reference_is_called_what_it_is(equal):
    done, document = equal
    assert "reference: model.onnx: classification, images 4×4, pixels imagenet" in done.stdout
    assert "onnxruntime_fp32 for 1 model on cpu (by the suffix of team.onnx" in done.stdout
    rows = [row for row in document["suite"]["startup"] if row["twin"] == "reference_onnxruntime_fp32"]
    assert rows and rows[0]["load_s"] > 0 and rows[0]["build_s"] is None
    assert "reference_onnxruntime_fp32" in done.stdout and "eager" not in done.stdout.replace("vs_eager", "")
    (row,) = document["suite"]["reference"]
    assert row["twin"] == "reference_onnxruntime_fp32" and row["notes"] == []
    assert document["suite"]["trusted_engine"]["file"] == "team.onnx"


def test_what_it_records_is_complete(equal):
    _, document = equal
    (row,) = document["suite"]["agreement"]
    assert row["ok"] and row["max_relative_error"] < 1e-6 and (row["top1_same"], row["top1_total"]) == (5, 5)
    (mutants,) = document["suite"]["mutants"]
    assert mutants["refused"] == mutants["total"] > 5 and not mutants["survivors"]
    (startup,) = (row for row in document["suite"]["startup"] if row["twin"] == "onnxruntime_fp32")
    assert startup["build_s"] is None and startup["host_run_peak_bytes"] > 0
    rows = {bench["extra_info"]["twin"] for bench in document["benchmarks"]}
    assert rows == {"onnxruntime_fp32", "reference_onnxruntime_fp32"}


def test_its_page_says_so_too(equal, pair):
    page = (pair.folder / "page.html").read_text(encoding="utf-8")
    assert "<p>1 twin agrees</p>" in page and "model.onnx reference_onnxruntime_fp32" in page


def test_other_weights_fail(pair):
    reference = scaled(pair.folder / "model.onnx")
    done, document = pair(reference, scaled(pair.folder / "wrong.onnx", 1.01), "-k", "agreement or repeatability")
    assert done.returncode == 1 and "error 0.01 is above" in done.stdout
    outcomes = {case["nodeid"].split("::")[1].split("[")[0]: case["outcome"] for case in document["suite"]["cases"]}
    assert outcomes == {"test_agreement": "failed", "test_repeatability": "passed"}


def test_a_fixed_batch_is_reported_once(pair):
    reference = scaled(pair.folder / "model.onnx")
    done, document = pair(reference, scaled(pair.folder / "team.onnx"), "-k", "agreement")
    assert done.returncode == 0, done.stdout
    (note,) = document["suite"]["reference"][0]["notes"]
    assert note.endswith("fails on a batch of 5 but not on one image: ValueError: the file takes 1 image a call, got 5")
    assert note.startswith("reference_onnxruntime ")
    assert "eager" not in done.stdout


def test_two_outputs_go_by_name_or_as_the_user_says(pair):
    reference = scaled(pair.folder / "two.onnx", extra=["features"])
    same = scaled(pair.folder / "same.onnx", extra=["features", "more"])
    done, document = pair(reference, same, "-k", "agreement")
    assert done.returncode == 0, done.stdout
    other = scaled(pair.folder / "other.onnx", names=("x", "y"), extra=["a", "b"])
    done, _ = pair(reference, other, "-k", "agreement")
    assert done.returncode == 1
    assert "0 of 2 outputs can be matched. The engine has x float32 1×3×4×4 -> a float32 1×48, b float32 1×48" in (
        " ".join(done.stdout.split())
    )
    done, _ = pair(reference, other, "-k", "agreement", "--engine-outputs", "b,y")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"classes": 6}, "output scores float32 1×6 cannot be the model's output float32 1×5"),
        ({"size": 8}, "input pixels float32 1×3×8×8 cannot be the model's input float32 1×3×4×4"),
    ],
)
def test_another_shape_says_what_both_have(engine, words, pair):
    done, _ = pair(scaled(pair.folder / "model.onnx"), scaled(pair.folder / "team.onnx", **engine), "-k", "agreement")
    text = " ".join(done.stdout.split())
    assert done.returncode == 1 and words in text
    assert "The engine has pixels float32" in text and "the model has input float32 1×3×4×4 -> output float32" in text


def test_open_sizes_are_the_user_s(pair):
    for name in ("open", "other"):
        foreign.pointwise(pair.folder / f"{name}.onnx", images=f"{name}_in")
    done, document = pair(pair.folder / "open.onnx", pair.folder / "other.onnx", "--reference-size", "24x32",
                          "--reference-pixels", "0..1", "-k", "agreement")  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "reference: open.onnx: tensor, images 24×32, pixels 0..1" in done.stdout
    assert document["suite"]["agreement"][0]["ok"]


def test_a_model_file_brings_its_own_preprocessing(pair, root, run_pytest):
    foreign.weighted(pair.folder / "sums.onnx")
    foreign.weighted(pair.folder / "theirs.onnx", result="c")
    (pair.folder / "my_files.py").write_text(
        "import torch\n"
        "from fixtures.models import ModelSpec, onnx_file\n"
        "def preprocess(image):\n"
        "    pixels = torch.tensor(list(image.resize((2, 2)).getdata())).float().flatten()\n"
        "    return pixels[:4], pixels[4:8]\n"
        f"MINE = ModelSpec('mine', builder=onnx_file({str(pair.folder / 'sums.onnx')!r}), preprocess=preprocess, "
        "task='tensor')\n"
    )
    command = [root / "benchmarks", "-p", "no:cacheprovider", "--images", pair.folder / "images", *QUICK]
    command += ["--engine-dir", pair.folder / "engines", "--model-file", pair.folder / "my_files.py"]
    done = run_pytest([*command, "--models", "mine", "--trust-engine", pair.folder / "theirs.onnx"])
    assert done.returncode == 0, done.stdout
    assert "mine reference_onnxruntime_fp32" in done.stdout and "eager" not in done.stdout
