"""A detector of your own with raw outputs like YOLO's, and the function that decodes them into boxes.

pytest benchmarks --model-file benchmarks/examples/own_detector.py --models own_detector
"""

from __future__ import annotations

import torch
from torchvision.ops import batched_nms, box_convert
from torchvision.transforms import functional

from twins.models import ModelSpec

SIZE, STRIDE = 96, 8
CLASSES = ("animal", "building", "tool")
# The limits that `decode` uses. The suite reads them too: a box whose score is close to the threshold may go missing.
LIMITS = SCORE_THRESHOLD, NMS_IOU, MOST = (0.25, 0.45, 300)


class Net(torch.nn.Module):
    """Images N×3×96×96 -> N×7×144: centre, width and height in pixels of the input, then a score for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(3, 32, STRIDE, stride=STRIDE)
        self.head = torch.nn.Conv2d(32, 4 + len(CLASSES), 1)
        cells = torch.arange(SIZE // STRIDE) * float(STRIDE)
        self.register_buffer("corners", torch.stack(torch.meshgrid(cells, cells, indexing="xy")).flatten(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raw outputs, before thresholds and NMS. Their number must not depend on the image."""
        found = self.head(self.features(images).relu()).flatten(2)
        centres = self.corners + STRIDE * found[:, :2].sigmoid()
        sizes = 2 * STRIDE * found[:, 2:4].clamp(max=2).exp()
        return torch.cat([centres, sizes, (found[:, 4:] - 3).sigmoid()], 1)


def build() -> torch.nn.Module:
    """Seeded weights. Yours loads a checkpoint."""
    torch.manual_seed(0)
    net = Net()
    torch.nn.init.normal_(net.head.weight, std=2.0)
    return net


def preprocess(image):
    """Scales the image to fit into 96×96, with grey around it."""
    scale = SIZE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = functional.to_tensor(functional.resize(image, [height, width]))
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    return functional.pad(pixels, [left, top, SIZE - width - left, SIZE - height - top], fill=0.45)


def decode(outputs, size):
    """Boxes of one image in its own pixels. outputs: NumPy arrays by name; size: width and height of the image."""
    found = torch.from_numpy(outputs["output"])[0].T
    scores, labels = found[:, 4:].max(1)
    kept = scores > SCORE_THRESHOLD
    boxes, scores, labels = box_convert(found[kept, :4], "cxcywh", "xyxy"), scores[kept], labels[kept]
    best = batched_nms(boxes, scores, labels, NMS_IOU)[:MOST]
    scale = SIZE / max(size)
    margins = torch.tensor([(SIZE - max(1, round(side * scale))) // 2 for side in size] * 2)
    limits = torch.tensor([*size, *size], dtype=torch.float32)
    boxes = ((boxes[best] - margins) / scale).clamp(min=0).minimum(limits)
    return boxes.numpy(), scores[best].numpy(), labels[best].numpy()


OWN_DETECTOR = ModelSpec(
    "own_detector",
    builder=build,
    preprocess=preprocess,
    task="detection",
    class_names=CLASSES,
    decode=decode,
    decode_limits=LIMITS,
)
