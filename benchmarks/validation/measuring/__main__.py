"""Proofs that the figures can be trusted: `python -m benchmarks.validation.measuring [cpu|cuda:0]`.

--only NAME,NAME runs some of them, --json DIR writes the numbers behind each. The proofs are independent: if one
fails to run, its error is printed and the others continue. Exit code 1 if any did not hold or failed to run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Optional, Sequence

from benchmarks.validation.measuring import allocation, gpu_control, injected, loading, order, overhead, repeats
from twins.machine import facts as machine_facts

PROOFS = {
    "allocation": allocation,
    "injected": injected,
    "overhead": overhead,
    "control": gpu_control,
    "order": order,
    "loading": loading,
    "repeats": repeats,
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the proofs; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation.measuring", description=__doc__)
    parser.add_argument("run_device", nargs="?", default="cpu")
    parser.add_argument("--only", default=",".join(PROOFS), metavar="NAME,NAME")
    parser.add_argument("--json", type=Path, metavar="DIR")
    chosen = parser.parse_args(arguments)
    facts = machine_facts.facts(chosen.run_device)
    print(machine_facts.describe(facts), flush=True)
    failed = False
    for name in chosen.only.split(","):
        start = time.perf_counter()
        try:
            proofs = PROOFS[name].prove(chosen.run_device)
        except Exception:
            failed = True
            print(f"BROKE    {name}:\n{traceback.format_exc(limit=-4)}", flush=True)
            continue
        failed |= not all(proof.ok for proof in proofs)
        print(*proofs, sep="\n")
        print(f"         {name} took {time.perf_counter() - start:.0f} s", flush=True)
        if chosen.json:
            chosen.json.mkdir(parents=True, exist_ok=True)
            rows = [{"name": proof.name, "ok": proof.ok, "got": proof.got, **proof.data} for proof in proofs]
            text = json.dumps({"machine": facts, "proofs": rows}, indent=1)
            (chosen.json / f"{name}.json").write_text(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
