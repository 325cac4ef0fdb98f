"""Validation: 10,000 images go through the suite in bounded memory.

`python -m benchmarks.validation.many_pictures --count 10000` runs the suite on the bundled images and on that many
images made from them (each with its own noise), and prints the peak resident memory of the suite's own process in both
runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_BYTES = 300 * 10**6
# As many classes as ImageNet, so that outputs take as much memory, in a fraction of the time.
LINEAR = """
import torch
from torchvision.transforms import Compose, Resize, ToTensor
from twins.models import ModelSpec

def build():
    layer = torch.nn.Linear(3 * 32 * 32, 1000)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return torch.nn.Sequential(torch.nn.Flatten(), layer)

MODEL = ModelSpec("linear", builder=build, preprocess=Compose([Resize([32, 32]), ToTensor()]))
"""


def main() -> int:
    """Exit code 0 if the larger run took less than LIMIT_BYTES more than the smaller one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--model", default="linear", help="of the zoo, or a linear layer of 1000 classes")
    parser.add_argument("--engine-dir", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engines = asked.engine_dir or Path(folder, "engines")
        make(Path(folder, "many"), asked.count)
        Path(folder, "linear.py").write_text(LINEAR)
        options = ["--model-file", f"{folder}/linear.py"] if asked.model == "linear" else ["--weights", "calibrated"]
        options += ["--models", asked.model]
        run(options, ROOT / "images", engines)  # Fills the cache, so that both runs below find what they need.
        few, few_s = run(options, ROOT / "images", engines)
        many, many_s = run(options, Path(folder, "many"), engines)
    print(f"{asked.model}: the bundled images: {few / 1e6:.0f} MB in {few_s:.0f} s")
    print(f"{asked.model}: {asked.count} images: {many / 1e6:.0f} MB in {many_s:.0f} s")
    print(f"more: {(many - few) / 1e6:.0f} MB, limit {LIMIT_BYTES / 1e6:.0f} MB")
    return int(many - few > LIMIT_BYTES)


def make(folder: Path, count: int) -> None:
    """Writes JPEG files of 320×240 into the class folders of the images that they are made from."""
    import numpy
    from PIL import Image

    random = numpy.random.default_rng(0)
    sources = []
    for path in sorted((ROOT / "images").glob("*.jpg")):
        with Image.open(path) as image:
            pixels = numpy.asarray(image.convert("RGB").resize((320, 240)), dtype=numpy.int16)
        sources.append((path.stem, pixels))
        folder.joinpath(path.stem).mkdir(parents=True)
    index = {
        line.split(",")[0]: line.split(",")[1] for line in (ROOT / "images" / "labels.csv").read_text().splitlines()
    }
    rows = ["file,imagenet_index"]
    for number in range(count):
        stem, pixels = sources[number % len(sources)]
        noisy = (pixels + random.integers(-20, 21, (240, 320, 1), dtype=numpy.int16)).clip(0, 255).astype(numpy.uint8)
        Image.fromarray(noisy).save(folder / stem / f"{number}.jpg", quality=80)
        rows.append(f"{stem}/{number}.jpg,{index[stem + '.jpg']}")
    (folder / "labels.csv").write_text("\n".join(rows))


def run(options: list[str], images: Path, engines: Path) -> tuple[int, float]:
    """(highest resident bytes of the run's own process, seconds); its workers have memory of their own."""
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), *options, "--images", str(images)]
    command += ["--twins", "onnxruntime_fp32", "--engine-dir", str(engines)]
    command += ["-p", "no:cacheprovider", "-q", "--benchmark-json", str(engines / "out.json")]
    start_s = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if os.WEXITSTATUS(status) > 1:
        raise SystemExit(f"the suite ended with {os.WEXITSTATUS(status)}")
    return usage.ru_maxrss * 1024, time.monotonic() - start_s


if __name__ == "__main__":
    sys.exit(main())
