"""Compares the calibrated stand-in with trained weights on the same network: margins, errors and flips.

From the repository's root: `python -m benchmarks.validation.stand_in [--seeds 0,1,2]`, on a CPU. docs/tolerances.md
has its output.
"""

from __future__ import annotations

import argparse

import numpy

from benchmarks.validation.seeded import Seeded, precision_of
from benchmarks.validation.tolerances import ON_CPU
from twins.common.outputs import largest
from twins.models.efficientnet_lite import NAME
from twins.models.zoo import find

QUANTILES = (0, 10, 50)


def show(title: str, case: Seeded) -> None:
    """Prints the margins of eager's top-1, as shares of the scale, then each twin's error and flips."""
    reference = case.reference()
    (logits,) = reference.values()
    ordered = numpy.sort(logits, axis=1)
    margins = numpy.percentile((ordered[:, -1] - ordered[:, -2]) / largest(logits), QUANTILES)
    named = ", ".join(f"{value:.4f}" for value in margins)
    for twin in ON_CPU:
        with case.twin(twin) as run:
            actual = case.outputs(run)
        found = case.agreement(actual, reference, precision_of(twin))
        flips = case.decisions(actual, reference, precision_of(twin)).flips
        widest = f"{flips[0].margin / largest(logits):.4f}" if flips else "–"
        errors = f"{found.max_relative_error:.1e} | {1 - (found.cosine or 0.0):.1e}"
        print(f"| {title} | {named} | {twin} | {errors} | {len(flips)} | {widest} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default=(0, 1, 2), type=lambda text: [int(seed) for seed in text.split(",")])
    print("| weights | margin: least, tenth, median | twin | error | 1 - cosine | flips of 50 | widest |")
    print("|---|---|---|---|---|---|---|")
    show("trained", Seeded(find(NAME), 0))
    for seed in parser.parse_args().seeds:
        show(f"calibrated, seed {seed}", Seeded(find(NAME), seed, stand_in=True))
