"""Tests of the options: what they select, and that wrong input gets one clear line before anything runs."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from fixtures import backends
from fixtures.run import selection
from fixtures.run import settings as run_settings

ONE_TWIN = ("--models", "resnet18", "--twins", "onnxruntime_fp32")


@pytest.fixture
def suite(root, tmp_path, pytester):
    """Runs or collects `pytest benchmarks` with these options, in a process of its own like a user's command."""

    def run(*arguments, collect_only=True):
        where = ("-c", str(root / "pytest.ini"), "--rootdir", str(root), str(root / "benchmarks"))
        cache = () if "--engine-dir" in arguments else ("--engine-dir", str(tmp_path / "engines"))
        quiet = ("--collect-only", "-q") if collect_only else ()
        return pytester.runpytest_subprocess(
            *quiet, "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *where, *cache, *arguments
        )

    return run


@pytest.fixture
def read(tmp_path, pytester):
    """The settings that these options give."""

    def settings(*arguments):
        cache = () if "--engine-dir" in arguments else ("--engine-dir", str(tmp_path / "engines"))
        return run_settings.settings(
            pytester.parseconfig("-p", "twins.plugins.options", "-p", "twins.plugins.baseline", *cache, *arguments)
        )

    return settings


def collected(result):
    assert result.ret == 0, str(result.stdout) + str(result.stderr)
    return [line.split("::")[1] for line in result.outlines if "::" in line]


def refused(result):
    """The one line that says what is wrong."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR, str(result.stdout) + str(result.stderr)
    assert "Traceback" not in str(result.stdout) + str(result.stderr)
    lines = [line for line in result.errlines if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def test_ids_name_model_twin_and_batch_size(suite):
    names = collected(suite("--models", "resnet18,alexnet", "--twins", "onnxruntime_fp32", "--batch-sizes", "1,8"))
    latency = [name for name in names if name.startswith("test_latency")]
    assert sorted(latency) == sorted(
        f"test_latency[{model}-{twin}-{batch_size}]"
        for model in ("alexnet", "resnet18")
        for twin in ("eager_fp32", "onnxruntime_fp32")
        for batch_size in (1, 8)
    )
    assert [name for name in names if name.startswith("test_agreement")] == [
        "test_agreement[alexnet-onnxruntime_fp32]",
        "test_agreement[resnet18-onnxruntime_fp32]",
    ]


def test_cases_run_model_by_model_and_twin_by_twin(suite):
    names = collected(suite("--models", "resnet18,alexnet", "--twins", "onnxruntime_fp32"))
    places = [(("resnet18" in name), ("onnxruntime" in name)) for name in names if "eager" in name or "onnx" in name]
    assert places == sorted(places), "an engine would be loaded twice"


def test_quick_takes_one_model_and_every_check(suite):
    quick, whole = collected(suite("--quick")), collected(suite())
    every, of_other_tasks = {name.split("[")[0] for name in whole}, {"test_detection", "test_segmentation"}
    assert {name.split("[")[0] for name in quick} == every - of_other_tasks and of_other_tasks < every
    assert all("resnet18" in name for name in quick) and len(quick) < len(whole)


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--models", "resnet81"], ["unknown model 'resnet81'", "did you mean resnet18", "Known: alexnet"]),
        (["--twins", "onnxruntime_fp16"], ["onnxruntime has no precision fp16; it has fp32, int8"]),
        (["--model-file", "/nowhere/m.py"], ["--model-file /nowhere/m.py: no such file"]),
        (["--model-file", "/"], ["--model-file /: is a folder; name the Python file"]),
        (["--twins", "onnxruntime_fp23"], ["unknown twin", "did you mean onnxruntime_fp32"]),
        (["--twins", "eager_fp32"], ["unknown twin 'eager_fp32'"]),
        (["--models", ","], ["--models ',' must name at least one"]),
        (["--batch-sizes", "0"], ["--batch-sizes", "'0' must be comma-separated positive integers, e.g. 1,8"]),
        (["--batch-sizes", "1,two"], ["--batch-sizes", "'1,two' must be"]),
        (["--streams", "1,0"], ["--streams", "'1,0' must be comma-separated positive integers, e.g. 1,2,4"]),
        (["--fps", "-1"], ["--fps", "'-1' must be a number above 0"]),
        (["--soak", "10"], ["--soak '10' must be a time such as 30s, 10m or 2h"]),
        (["--soak", "0m"], ["--soak '0m' must be a time such as 30s, 10m or 2h"]),
        (["--case-timeout", "nan"], ["--case-timeout", "'nan' must be a number above 0"]),
        (["--run-device", "gpu"], ["--run-device 'gpu'", "cuda:0"]),
        (["--run-device", "cuda:0", "--twins", "cpu_fp32"], ["--run-device cuda:0: no CUDA device here; take a"]),
        (["--workspace", "lots"], ["--workspace 'lots' must be a number above 0"]),
        (["--engine-cache-limit", "0"], ["--engine-cache-limit '0' must be a number above 0"]),
        (["--trust-engine", "a.onnx"], ["--trust-engine a.onnx", " models, ", "--models"]),
        ([*ONE_TWIN, "--batch-sizes", "4", "--trust-engine", "a.onnx"], ["batch sizes 4", "leave --batch-sizes at 1"]),
        ([*ONE_TWIN, "--trust-engine", "a.engine"], ["--trust-engine a.engine", "onnxruntime_fp32 end in .onnx"]),
        ([*ONE_TWIN, "--trust-engine", "no/such.onnx"], ["--trust-engine no/such.onnx: no such file"]),
        (
            ["--trust-engine", "a.xyz", "--models", "alexnet"],
            ["--trust-engine a.xyz: engine files end in .engine, .onnx"],
        ),
        (["--reference", "a.onnx"], ["--reference needs the engine", "--engine team.engine"]),
        (["--engine", "a.onnx"], ["--engine is what --reference is compared with", "--trust-engine"]),
        (["--reference-size", "8x8"], ["--reference-size belongs to --reference"]),
        (["--reference-size", "8"], ["--reference-size '8' must be height and width, such as 320x320"]),
        (["--reference", "a.onnx", "--engine", "b.onnx"], ["a.onnx: no such file"]),
        (["--reference", "a.onnx", "--engine", "b.onnx", "--models", "alexnet"], ["leave out --models"]),
        (["--engine-outputs", "a"], ["--engine-outputs is for --trust-engine"]),
        (["--images", "no/such/folder"], ["no/such/folder"]),
        (["--weights", "no/such/folder"], ["no/such/folder"]),
    ],
)
def test_wrong_input_is_refused_in_one_line(read, arguments, parts):
    with pytest.raises((run_settings.UserError, pytest.UsageError)) as refusal:
        read(*arguments)
    for part in parts:
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text, seconds", [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5m", 90)])
def test_a_soak_s_time_has_a_unit(read, text, seconds):
    assert read("--soak", text).soak_s == seconds and read().soak_s is None


def test_folders_that_cannot_be_made_are_refused(read, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--save-weights", "--save-detections"):
        with pytest.raises(
            run_settings.UserError, match=f"^{option} .*file cannot be created .*; name another folder$"
        ):
            read(option, str(tmp_path / "file"))


def test_choices_reach_the_builders(read, tmp_path):
    chosen = read("--workspace", "0.5", "--torch2trt-onnx", "--tensorrt-replay", "--engine-cache-limit", "2")
    built = chosen.build_options
    assert (built.workspace_bytes, built.flags) == (2**19, {"--torch2trt-onnx", "--tensorrt-replay"})
    assert chosen.engine_cache_limit_bytes == 2**21
    built = read().build_options
    assert (built.workspace_bytes, built.flags) == (None, frozenset())
    assert read("--weights", str(tmp_path)).weights == str(tmp_path)
    assert read("--save-weights", str(tmp_path / "new")).save_weights.is_dir()


@pytest.mark.parametrize("collect_only", [True, False])
@pytest.mark.parametrize("selected", [(), ("-k", "test_photographs")])
def test_the_user_sees_that_line_and_no_traceback(suite, collect_only, selected):
    assert "unknown model 'resnet81'" in refused(suite("--models", "resnet81", *selected, collect_only=collect_only))


@pytest.mark.parametrize("option", ["--fps", "--batch-sizes", "--workspace", "--twins"])
def test_a_value_that_cannot_be_read_is_one_line_too(suite, option):
    assert refused(suite(f"{option}=,")).startswith(f"ERROR: {option} ',' must ")


def test_an_empty_image_folder_is_refused(read, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(run_settings.UserError, match="empty"):
        read("--images", str(tmp_path / "empty"))


def test_labels_of_absent_images_are_refused(read, tmp_path):
    (tmp_path / "labels.csv").write_text("file,label\nabsent.jpg,3\n")
    with pytest.raises(run_settings.UserError, match="absent.jpg"):
        read("--images", str(tmp_path))


def test_an_unwritable_cache_is_refused(read, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(run_settings.UserError, match=str(tmp_path / "file")):
        read("--engine-dir", str(tmp_path / "file"))


def test_a_twin_named_but_not_runnable_is_an_error_with_its_reason(read, monkeypatch):
    monkeypatch.setattr(backends, "unavailable", lambda twin, run_device: f"no GPU for {twin} on {run_device}")
    with pytest.raises(
        run_settings.UserError, match="^--twins onnxruntime_fp32 cannot run here: no GPU for onnx.* on cpu$"
    ):
        read("--twins", "onnxruntime_fp32", "--run-device", "cpu")


def test_default_twins_prefer_tensorrt_and_say_why(monkeypatch):
    def only(*runnable):
        monkeypatch.setattr(backends, "unavailable", lambda twin, device: None if twin in runnable else "not here")
        return selection.default_twins("cuda:0")

    assert only("onnxruntime_fp32") == (
        ("onnxruntime_fp32",),
        "no tensorrt or torch2trt or tensorrt_rtx or cuda_graph: not here",
    )
    assert only("onnxruntime_fp32", "cuda_graph_fp32")[0] == ("cuda_graph_fp32",)
    assert only("onnxruntime_fp32", "tensorrt_fp16", "tensorrt_fp32")[0] == ("tensorrt_fp32", "tensorrt_fp16")
    rtx = ("tensorrt_rtx_tf32", "tensorrt_rtx_fp16")
    assert only(*rtx, "cuda_graph_fp32") == (rtx, "no tensorrt or torch2trt: not here")
    assert only(*rtx, "tensorrt_fp32")[0] == ("tensorrt_fp32",)
    with pytest.raises(run_settings.UserError, match="no twin can run here: not here"):
        only()


def test_collection_is_instant_and_imports_nothing_heavy(root):
    heavy = "('torch', 'torchvision', 'onnxruntime', 'onnx', 'tensorrt', 'tensorrt_rtx', 'matplotlib', 'psutil')"
    code = (
        "import sys, pytest; code = pytest.main(['benchmarks', '--collect-only', '-q']); "
        f"sys.exit(code or ' '.join(name for name in {heavy} if name in sys.modules) or None)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert result.returncode == 0, f"imported at collection: {result.stderr}"
    assert seconds < 4, f"collection took {seconds:.1f} s of CPU; 2 s are wanted, on a quiet machine"
