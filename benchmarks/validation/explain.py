"""Injects faults into graphs at random modules: does --explain name that module first?

python -m benchmarks.validation.explain [--faults N] [--seed N] [--models A,B] [--json FILE]

Each fault changes one node of the ONNX file that the twin onnxruntime_fp32 has built: its weight scaled by 5 %, its
weight or its output rounded to float16, its bias dropped, or two of its output channels exchanged. If a fault changes
the twin's outputs by less than rounding does, another is drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy

from benchmarks.validation.seeded import Seeded
from twins.backends import TWINS
from twins.common.build_options import BuildRequest
from twins.common.outputs import to_numpy
from twins.explain.explain import explain
from twins.explain.measured import final_error
from twins.models.zoo import MODELS
from twins.onnx.modules import module_of

TWIN = "onnxruntime_fp32"
WITH_WEIGHTS = ("Conv", "Gemm")
# Any node that computes can have the first two. The suite's ten models are the default of --models.
KINDS = (
    "weight scaled by 5 %",
    "weight rounded to fp16",
    "output rounded to fp16",
    "bias dropped",
    "channels exchanged",
)
PASSES_VALUES_ON = ("Reshape", "Flatten", "Transpose", "Identity", "Constant", "Squeeze", "Unsqueeze")
# How much rounding changes the outputs. fp32's tolerance for the suite's own weights is higher (3.4e-5).
SEEN = 2e-5
MOST_DRAWS = 30


@dataclass(frozen=True)
class Trial:
    """A fault and its outcome. named: the module named first. If there is none, it is None and `reason` says why."""

    model: str
    kind: str
    node: str
    expected: str
    named: Optional[str]
    reason: str
    error: float
    seconds: float
    draws: int

    @property
    def verdict(self) -> str:
        """right, wrong or `cannot attribute`."""
        return "cannot attribute" if self.named is None else "right" if self.named == self.expected else "wrong"


def changed(graph: Any, node: Any, kind: str, draw: random.Random) -> bool:
    """Injects the fault into the node of the graph; False if the node cannot have one of this kind."""
    import onnx

    constants = {tensor.name: tensor for tensor in graph.initializer}
    if kind == "output rounded to fp16":
        name = node.output[0]
        node.output[0] = f"{name}_exact"
        place = list(graph.node).index(node) + 1
        types = onnx.TensorProto
        graph.node.insert(place, onnx.helper.make_node("Cast", [f"{name}_exact"], [f"{name}_half"], to=types.FLOAT16))
        graph.node.insert(place + 1, onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=types.FLOAT))
        return True
    if node.op_type not in WITH_WEIGHTS or not all(name in constants for name in node.input[1:]):
        return False
    arrays = [onnx.numpy_helper.to_array(constants[name]).copy() for name in node.input[1:]]
    weight, bias = arrays[0], arrays[1] if len(arrays) > 1 else None
    by_row = node.op_type == "Conv" or any(one.name == "transB" and one.i for one in node.attribute)
    if kind == "weight scaled by 5 %":
        weight *= weight.dtype.type(1.05)
    elif kind == "weight rounded to fp16":
        weight[...] = weight.astype(numpy.float16).astype(weight.dtype)
    elif kind == "bias dropped":
        if bias is None or not bias.any():
            return False
        bias[...] = 0
    else:
        if not by_row or len(weight) < 2:
            return False
        one, other = draw.sample(range(len(weight)), 2)
        for array in arrays:
            array[[one, other]] = array[[other, one]]
    for place, array in enumerate(arrays, 1):  # With new names, because layers may share equal ones.
        name = f"fault_{place}"
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        node.input[place] = name
    used = {name for each in graph.node for name in each.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    return True


def candidates(graph: Any) -> List[Any]:
    """Nodes that compute with data that depends on the image, and do not just pass it on."""
    moving = {entry.name for entry in graph.input}
    found = []
    for node in graph.node:
        if moving & set(node.input):
            moving.update(node.output)
            if node.op_type not in PASSES_VALUES_ON:
                found.append(node)
    return found


def trials(name: str, kinds: List[str], draw: random.Random, folder: Path) -> Iterator[Trial]:
    """Trials at random nodes of this model, each kind of fault in turn."""
    import onnx

    seeded, spec = Seeded(MODELS[name], draw.randrange(1000), step=25), TWINS[TWIN]
    image, path = seeded.batch[:1], folder / "right.onnx"
    with contextlib.closing(spec.build(seeded.core, image, path)) as run:
        right = to_numpy(run(image))
    modules = [module for module, _ in seeded.core.named_modules()]
    for kind in kinds:
        draws = 0
        for _ in range(MOST_DRAWS):
            draws += 1
            proto = onnx.load(str(path))
            node = draw.choice(candidates(proto.graph))
            title, expected = node.name, module_of(node.name, modules)
            wrong = folder / "wrong.onnx"
            if not changed(proto.graph, node, kind, draw):
                continue
            onnx.save(proto, str(wrong))
            del proto
            with contextlib.closing(spec.load(wrong, image)) as run:
                product = to_numpy(run(image))
            error = final_error(product, right)
            if error > SEEN:
                break
        else:
            continue
        clock = time.perf_counter()
        request = BuildRequest(seeded.core, image, spec.precision, wrong)
        found = explain(spec, request, product, seeded.names[0], SEEN, folder)
        named = None if found.first is None else found.first.name.replace("(the model)", "")
        yield Trial(name, kind, title, expected, named, "" if named is not None else found.finding, error,
                    time.perf_counter() - clock, draws)  # fmt: skip


def main() -> None:
    """Prints each trial and the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names, draw = options.models.split(","), random.Random(options.seed)
    asked: Dict[str, List[str]] = {name: [] for name in names}
    for number in range(options.faults):  # Each model gets each kind in turn.
        turn, place = divmod(number, len(names))
        asked[names[place]].append(KINDS[(turn + place) % len(KINDS)])
    done: List[Trial] = []
    for name, kinds in asked.items():
        with tempfile.TemporaryDirectory() as folder:
            for trial in trials(name, kinds, draw, Path(folder)):
                done.append(trial)
                line = (trial.verdict, name, trial.kind, trial.node, f"{trial.error:.1e}", f"{trial.seconds:.1f} s")
                print(*line, "" if trial.verdict == "right" else f"{trial.named} {trial.reason}", sep="; ", flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(one) for one in done], indent=1))
    print(summary(done))


def summary(done: List[Trial]) -> str:
    """Prints how the trials of each kind ended."""
    counts: Dict[Tuple[str, str], int] = {}
    for trial in done:
        counts[trial.kind, trial.verdict] = counts.get((trial.kind, trial.verdict), 0) + 1
    verdicts = ("right", "wrong", "cannot attribute")
    rows = [(kind, *(counts.get((kind, verdict), 0) for verdict in verdicts)) for kind in KINDS]
    total = ("all", *(sum(row[place] for row in rows) for place in (1, 2, 3)))
    return "\n".join(f"{row[0]:24}" + "".join(f"{verdict}: {count:3}  " for verdict, count in zip(verdicts, row[1:]))
                     for row in (*rows, total))  # fmt: skip


if __name__ == "__main__":
    main()
