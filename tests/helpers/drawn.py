"""Images drawn for the tests of decoding, labels and batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = {"a.jpg": "JPEG", "b.png": "PNG", "c.webp": "WEBP", "d.bmp": "BMP", "e.tiff": "TIFF"}


def picture(path: Path, colour: Any = RED, size: Tuple[int, int] = (16, 12), mode: str = "RGB", **options: Any) -> Path:
    """Writes an image of one colour. The format follows from the extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def quarters() -> Image.Image:
    """32×16: red above green on the left, blue above white on the right, so that each orientation differs."""
    image = Image.new("RGB", (32, 16), WHITE)
    for colour, box in ((RED, (0, 0, 16, 8)), (GREEN, (0, 8, 16, 16)), (BLUE, (16, 0, 32, 8))):
        image.paste(colour, box)
    return image
