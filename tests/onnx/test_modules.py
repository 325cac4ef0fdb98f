"""Names of modules from names of nodes: as torch's exporter writes them for nested, repeated and shared modules."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from twins.onnx.export import export
from twins.onnx.modules import module_of


class Block(nn.Module):
    """A residual block that calls its activation twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.Sequential(nn.Conv2d(4, 4, 1)), nn.SiLU()

    def forward(self, x):
        return self.act(self.act(self.conv(x)) + self.down(x))


class Net(nn.Module):
    """Blocks in a ModuleList in a Sequential, a layer called by another than its owner, and code of its own."""

    def __init__(self, as_dict: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Sequential(Block(), Block()), Block())
        self.heads = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])
        self.as_dict = as_dict

    def forward(self, x):
        pooled = self.blocks(x).mean((2, 3))
        found = self.heads[0](pooled) + self.heads[1](pooled).tanh()
        return {"out": found} if self.as_dict else found


EXPECTED = {
    *(("Conv", f"blocks.{block}.{layer}") for block in ("0.0", "0.1", "1") for layer in ("conv", "down.0")),
    *(("Add", f"blocks.{block}") for block in ("0.0", "0.1", "1")),
    *(("Sigmoid", f"blocks.{block}.act") for block in ("0.0", "0.1", "1")),
    ("Gemm", "heads.0"),
    ("Gemm", "heads.1"),
    ("Tanh", ""),
}


@pytest.mark.parametrize("as_dict", [False, True], ids=["tensor", "dict, which is exported in a wrapper"])
def test_every_node_belongs_to_the_module_whose_code_made_it(tmp_path, as_dict):
    net = Net(as_dict).eval()
    export(net, torch.rand(1, 4, 6, 6), tmp_path / "net.onnx")
    names = [name for name, _ in net.named_modules()]
    nodes = onnx.load(str(tmp_path / "net.onnx")).graph.node
    found = [(node.op_type, module_of(node.name, names)) for node in nodes]
    assert set(found) >= EXPECTED
    assert found.count(("Sigmoid", "blocks.0.0.act")) == 2  # Both calls of it.


def test_a_scope_that_fits_several_modules_or_none_stays_with_the_caller():
    names = ["", "left", "left.norm", "right", "right.norm"]
    assert module_of("/norm/Mul", names) == ""
    assert module_of("/left/norm/Mul", names) == "left.norm"
    assert module_of("/left/norm_3/Mul", names) == "left.norm"
    assert module_of("/left/unheard/Mul", names) == "left"
    assert module_of("Mul_7", names) == ""
