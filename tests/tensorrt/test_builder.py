"""Tests of building with TensorRT on an executing double: flags, graphs, refusals, timing cache, progress."""

from __future__ import annotations

import hashlib
import warnings

import pytest
from torch import nn

from fixtures.backends import TWINS, tensorrt
from fixtures.cache.store import EngineWarning
from fixtures.common.build_options import BuildOptions
from fixtures.common.errors import UserError
from fixtures.tensorrt import builder, timing_cache
from tests.doubles import on_host
from tests.doubles.small import built, image_batch, load, small_model

STRONGLY_TYPED = ("10.13.3.9", "11.4.0.106")


def test_flags_follow_precision_and_version(trt, tmp_path):
    for precision in tensorrt.PRECISIONS:
        built(tensorrt, tmp_path, precision=precision)
        flags = {flag.name for flag in trt.double.built._flags}
        expected = {"TF32"} if precision == "tf32" else set()
        if trt.__version__ not in STRONGLY_TYPED and precision in ("fp16", "int8"):
            expected.add(precision.upper())
        assert flags == expected, f"{precision} with TensorRT {trt.__version__}"


def test_types_come_from_the_graph_where_flags_are_gone(trt, tmp_path):
    _, path = built(tensorrt, tmp_path, precision="fp16")
    engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(path.read_bytes())
    assert (b"graph_input_cast" in engine._model) == (trt.__version__ in STRONGLY_TYPED)
    assert (engine._facts["network_flags"] == 2) == (trt.__version__ in STRONGLY_TYPED)


def test_workspace_is_limited_only_when_asked_for(trt, tmp_path):
    built(tensorrt, tmp_path)
    assert trt.double.built._pools == {}
    built(tensorrt, tmp_path, options=BuildOptions(workspace_bytes=64 * 2**20))
    assert trt.double.built._pools == {trt.MemoryPoolType.WORKSPACE: 64 * 2**20}


def test_equal_biases_do_not_stop_the_parser(trt, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    for layer in (model[0], model[2]):
        nn.init.zeros_(layer.bias)
    built(tensorrt, tmp_path, model)


def test_a_refused_node_is_named_with_the_parser_s_reason(trt, tmp_path, monkeypatch):
    import onnx

    from fixtures.onnx import export as onnx_export

    export = onnx_export.export

    def with_a_strange_node(model, example, path, **options):
        export(model, example, path, **options)
        exported = onnx.load(str(path))
        node = exported.graph.node[1]
        node.domain, node.op_type, node.name = "my", "Odd", "/1/Odd"
        onnx.save(exported, str(path))

    monkeypatch.setattr(onnx_export, "export", with_a_strange_node)
    with pytest.raises(UserError) as error:
        built(tensorrt, tmp_path)
    expected = (
        f"TensorRT {trt.__version__} cannot read the model: node 1 (Odd /1/Odd): No importer registered for op: Odd"
    )
    assert str(error.value).startswith(expected)


def test_tensorrt_s_own_plugins_are_registered_once_before_parsing_and_loading(trt, tmp_path):
    _, path = built(tensorrt, tmp_path)
    load(tensorrt, path, image_batch())
    assert trt.double.calls == ["plugins", "parse", "deserialise", "deserialise"]


def test_a_process_that_only_loads_registers_them_too(monkeypatch, tmp_path):
    on_host.tensorrt(monkeypatch, "10.3.0")
    _, path = built(tensorrt, tmp_path)
    trt = on_host.tensorrt(monkeypatch, "10.3.0")
    load(tensorrt, path, image_batch())
    assert trt.double.calls == ["plugins", "deserialise"]


def test_the_first_errors_are_kept_however_many_follow(newest):
    from fixtures.tensorrt import logger as tensorrt_logger

    logger = tensorrt_logger.recorder(newest)
    for message in ("the cause", *(f"consequence {number}" for number in range(100))):
        logger.log(newest.ILogger.ERROR, message)
    assert tensorrt_logger.reason(newest).startswith("the cause; consequence 0; ")
    tensorrt_logger.forget(newest)
    assert tensorrt_logger.reason(newest) == "it gave no reason"


def test_a_file_without_a_model_is_rejected(trt, tmp_path):
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cannot read the model: file: Failed to parse the ONNX model"):
        builder.write_engine(trt, path, tmp_path / "x.engine", "fp32", BuildOptions(), "cpu")


def test_an_engine_that_cannot_be_built_gives_the_logger_s_reason(trt, tmp_path):
    trt.double.unsupported_kernels.add("Conv")
    with pytest.raises(UserError) as error:
        built(tensorrt, tmp_path)
    assert "cannot build an engine in fp32" in str(error.value) and "Unsupported SM: 0x900" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "artefact.engine").exists()


def test_a_second_build_replays_the_timing_cache(trt, tmp_path):
    options = BuildOptions(timing_folder=tmp_path / "timing")
    for _ in range(2):
        built(tensorrt, tmp_path, options=options)
    assert trt.double.timed[0] > 0 and trt.double.timed[1] == 0
    (kept,) = (tmp_path / "timing").iterdir()
    assert kept.name.startswith(trt.__version__) and kept.name.endswith(".timing")
    built(tensorrt, tmp_path, precision="tf32", options=options)
    assert trt.double.timed[2] > 0, "another precision has other tactics"
    built(tensorrt, tmp_path, options=options)
    assert trt.double.timed[3] == 0, "what was timed before is kept"


def cut(content):
    return content[:-1]


def of_another_version(content):
    foreign = b'{"version": "7.1", "known": {}}'
    return hashlib.sha256(foreign).digest() + foreign


@pytest.mark.parametrize("change", [cut, of_another_version, lambda content: b"garbage"])
def test_a_damaged_or_foreign_timing_cache_counts_as_empty(trt, change, tmp_path):
    options = BuildOptions(timing_folder=tmp_path / "timing")
    built(tensorrt, tmp_path, options=options)
    (kept,) = (tmp_path / "timing").iterdir()
    kept.write_bytes(change(kept.read_bytes()))
    built(tensorrt, tmp_path, options=options)
    assert trt.double.timed[1] == trt.double.timed[0]
    built(tensorrt, tmp_path, options=options)
    assert trt.double.timed[2] == 0


def test_a_damaged_timing_cache_never_reaches_tensorrt(newest, tmp_path, monkeypatch):
    options = BuildOptions(timing_folder=tmp_path / "timing")
    built(tensorrt, tmp_path, options=options)
    (kept,) = (tmp_path / "timing").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    given, create = [], newest.IBuilderConfig.create_timing_cache
    monkeypatch.setattr(
        newest.IBuilderConfig,
        "create_timing_cache",
        lambda config, stored: given.append(stored) or create(config, stored),
    )
    built(tensorrt, tmp_path, options=options)
    assert given == [b""]


def test_the_run_says_that_a_timing_cache_is_damaged_and_removes_it(newest, tmp_path):
    folder = tmp_path / "timing"
    built(tensorrt, tmp_path, options=BuildOptions(timing_folder=folder))
    (kept,) = folder.iterdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timing_cache.remove_damaged(folder)
        timing_cache.remove_damaged(None)
    assert kept.is_file()
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.warns(EngineWarning, match="timing cache: .*timing is rejected and rebuilt: its checksum is wrong"):
        timing_cache.remove_damaged(folder)
    assert not kept.exists()


def test_progress_is_reported_where_tensorrt_tells(trt, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "REPORT_EVERY_S", 0.0)
    lines = []
    built(tensorrt, tmp_path, options=BuildOptions(report=lines.append))
    if trt.__version__.startswith("8."):
        assert lines == []
    else:
        assert lines[0].startswith("Building Engine: step 1 of ") and len(lines) > 3
        assert not any("Tactic" in line for line in lines), "inner phases would say too much"


def test_progress_is_reported_at_most_once_a_second(newest, tmp_path):
    lines = []
    built(tensorrt, tmp_path, options=BuildOptions(report=lines.append))
    assert len(lines) <= 1


def test_int8_needs_calibration_images(newest, tmp_path):
    with pytest.raises(UserError, match="int8 needs calibration images"):
        TWINS["tensorrt_int8"].build(small_model(), image_batch(), tmp_path / "a.engine")
