"""Validation of --layers: what runs recorded, what TensorRT reports about an engine, and whether a slow layer is named.

`python -m benchmarks.validation.layers report RUN.json [MORE.json ...]`
    For each twin: layers, the share of their time that has modules and a precision, and their sum against a call.
`python -m benchmarks.validation.layers inspect TWIN FOLDER MODEL [MODEL ...]`
    On a GPU: writes the engine inspector's JSON and the profiler's names of an engine to the folder.
`python -m benchmarks.validation.layers scatter MODEL [MODEL ...]`
    On the CPU with ONNX Runtime: how much layers of two equal sessions differ in their medians and 10th percentiles.
`python -m benchmarks.validation.layers slow COUNT [MODEL ...]`
    On the CPU with ONNX Runtime: COUNT layers of each model in turn get twice the work in the graph (twice the output
    channels, half of which are discarded). Is the layer named, and first? Exit code 1 below 95 %.
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from twins.backends import TWINS
from twins.common.build_options import BuildOptions, BuildRequest
from twins.compare.judging.layers import layer_change
from twins.compare.reading.fields import Field
from twins.compare.reading.layers import Layers, read_layers
from twins.compare.writing.layers import sentence
from twins.images import folder as image_folder
from twins.layers import case
from twins.layers.measured import CALL, Measured, called
from twins.models.cores import core
from twins.models.zoo import MODELS, build_module, preprocessing
from twins.onnx.export import export
from twins.onnx.modules import module_of

TWIN, CALLS = "onnxruntime_fp32", 20
# Only layers that take at least this share of the time are slowed, and this share of them must be named.
LEAST, ENOUGH = 0.005, 0.95
OPERATORS = ("Conv", "Gemm")


def report(paths: Sequence[str]) -> Iterator[str]:
    """A line for each twin of the runs."""
    for path in paths:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))["suite"]["layers"]
        for row in rows:
            yield f"{path}: {row['model']} {row['twin']} batch {row['batch_size']}: {summary(row)}"


def summary(row: Dict[str, Any]) -> str:
    """A summary of a row of `suite.layers`, with the names of its layers without modules."""
    layers = row["layers"]
    whole_s = sum(layer["p50_s"] for layer in layers)
    known = [sum(layer["p50_s"] for layer in layers if layer[key]) / whole_s for key in ("modules", "precision")]
    unnamed = [layer["name"] for layer in layers if not layer["modules"]]
    return (
        f"{len(layers)} layers, modules of {known[0]:.1%} and precision of {known[1]:.1%} of the time, medians "
        f"{whole_s * 1e6:.1f} µs, {row['whole_is']} {row['whole_s'] * 1e6:.1f} µs ({whole_s / row['whole_s']:.3f}), "
        f"missing: {row['missing']}; without modules: {unnamed[:8]}"
    )


def inspect(name: str, folder: Path, models: Sequence[str]) -> Iterator[str]:
    """Writes what TensorRT reports about engines with detailed profiling, for models with random weights."""
    import torch
    import torchvision

    from twins.tensorrt import profiling

    spec = TWINS[name]
    trt = importlib.import_module(spec.backend)
    options = BuildOptions(detailed_profiling=True)
    folder.mkdir(parents=True, exist_ok=True)
    for title in models:
        torch.manual_seed(0)
        model = getattr(torchvision.models, title)(weights=None).eval().requires_grad_(False).cuda()
        example = torch.rand(1, 3, 224, 224, device="cuda")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, f"engine{spec.module.ENGINE_SUFFIX}")
            spec.build(model, example, path, None, options).close()
            with closing(spec.load(path, example, options)) as twin:
                text = profiling.information(trt, twin)
                timed = profiling.times(trt, twin, example, 3)
        details = profiling.details_in(text)
        (folder / f"inspector-{title}-{name}.json").write_text(text, encoding="utf-8")
        (folder / f"profiler-{title}-{name}.json").write_text(json.dumps(timed, indent=1), encoding="utf-8")
        same = sum(layer in details for layer in timed[-1])
        yield f"{title} {name}: {len(timed[-1])} layers timed, {len(details)} inspected, {same} in both"


def slow(count: int, models: Sequence[str]) -> Iterator[str]:
    """A line for each slowed layer and a sum at the end. Raises SystemExit if too few are named."""
    import onnx

    first = named = others = tried = 0
    for title in models or tuple(MODELS):
        model, example = model_of(title)
        with tempfile.TemporaryDirectory() as folder:
            path, slowed = Path(folder, "base.onnx"), Path(folder, "slowed.onnx")
            export(model, example, path)
            base = layers_of(model, example, path)
            graph = onnx.load(str(path))
            for node, module in chosen(graph, model, base, count):
                onnx.save(with_twice_the_work(graph, node), str(slowed))
                found = layer_change((title, TWIN, 1), base, layers_of(model, example, slowed))
                places = [place for place, part in enumerate(found.moved) if module in part.modules]
                tried, named, first = tried + 1, named + bool(places), first + (places[:1] == [0])
                others += len(found.moved) - len(places)
                yield f"{title} {module}: {'named' if places else 'NOT NAMED'}, {sentence(found)}"
    yield f"{tried} slowed layers: {named} named, {first} of them first; {others} other layers named"
    if named < ENOUGH * tried:
        raise SystemExit(1)


def model_of(title: str) -> Tuple[Any, Any]:
    """(core with random weights, one image for it)."""
    import torch

    spec = MODELS[title]
    torch.manual_seed(0)
    image = image_folder.list_images(image_folder.BUNDLED)[:1]
    model = core(spec, build_module(spec)).eval().requires_grad_(False)
    return model, image_folder.load(image, preprocessing(spec)).batch


def scatter(models: Sequence[str]) -> Iterator[str]:
    """A line for each model: the largest change of a layer, relative to the median layer's."""
    for title in models:
        model, example = model_of(title)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            export(model, example, path)
            base, new = (layers_of(model, example, path) for _ in range(2))
        found = []
        for key in ("p50_s", "p10_s"):
            times = [{layer.title: getattr(layer, key) for layer in run.layers} for run in (base, new)]
            least_s = LEAST * sum(times[0].values())
            growths = [times[1][name] / seconds for name, seconds in times[0].items() if seconds > least_s]
            apart = [growth / statistics.median(growths) for growth in growths]
            found.append(f"{key} of {len(apart)} layers {min(apart):.2f} to {max(apart):.2f}")
        yield f"{title}: {', '.join(found)}"


def layers_of(model: Any, example: Any, path: Path) -> Layers:
    """The layers of an ONNX file, as a run records them and a comparison reads them."""
    profile = TWINS[TWIN].module.layer_times(BuildRequest(None, example, "fp32", path), CALLS)
    names = [name for name, _ in model.named_modules()]
    found = case.row(Measured(profile, profile.call_s or 0.0, CALL, called(model, example)), names)
    document = json.loads(json.dumps({"layers": [{"model": "any", "twin": TWIN, **found}]}))
    (layers,) = read_layers(Field(document, "suite")).values()
    return layers


def chosen(graph: Any, model: Any, base: Layers, count: int) -> List[Tuple[str, str]]:
    """(node, module) of some linear layers and convolutions without groups that take at least LEAST of the time."""
    names = [name for name, _ in model.named_modules()]
    shares = {name: layer.p10_s / base.sum_s for layer in base.layers for name in layer.modules}
    found = []
    for node in graph.graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        module = module_of(node.name, names)
        if node.op_type in OPERATORS and groups == 1 and shares.get(module, 0.0) >= LEAST:
            found.append((node.name, module))
    return random.Random(0).sample(found, min(len(found), count))


def with_twice_the_work(model: Any, name: str) -> Any:
    """A copy in which this node has twice the output channels, and a Slice after it discards half of them."""
    import numpy
    from onnx import helper, numpy_helper

    copy = type(model)()
    copy.CopyFrom(model)
    graph = copy.graph
    place, node = next((place, node) for place, node in enumerate(graph.node) if node.name == name)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    channels = len(constants[node.input[1]])
    for index, constant in enumerate(node.input[1:], start=1):
        twice = numpy.concatenate([constants[constant], constants[constant] * numpy.float32(0.9)])
        node.input[index] = f"{constant} twice"
        graph.initializer.append(numpy_helper.from_array(twice, node.input[index]))
    output, node.output[0] = node.output[0], f"{node.output[0]} twice"
    for part, value in (("starts", 0), ("ends", channels), ("axes", 1)):
        graph.initializer.append(numpy_helper.from_array(numpy.array([value]), f"{output} {part}"))
    bounds = [f"{output} {part}" for part in ("starts", "ends", "axes")]
    scope = name.rpartition("/")[0]
    graph.node.insert(place + 1, helper.make_node("Slice", [node.output[0], *bounds], [output], name=f"{scope}/Slice"))
    return copy


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    commands = {
        "report": lambda: report(rest),
        "inspect": lambda: inspect(rest[0], Path(rest[1]), rest[2:]),
        "scatter": lambda: scatter(rest),
        "slow": lambda: slow(int(rest[0]), rest[1:]),
    }
    for line in commands[what]():
        print(line, flush=True)
