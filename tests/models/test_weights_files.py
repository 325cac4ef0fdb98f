"""Tests of weights files: they load and save bit for bit, and a wrong file gets a clear message."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fixtures.common.errors import UserError
from fixtures.models.weights import WeightsFile, load_model, save_weights
from fixtures.models.zoo import MODELS, ModelSpec
from tests.helpers.random_weights import SPEC, random_state, same


@pytest.fixture(scope="module")
def state():
    return random_state()


# Load
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before torch 1.6"])
def test_weights_reload_bit_for_bit(zipped, state, tmp_path):
    torch.save(state, tmp_path / "resnet18.pth", _use_new_zipfile_serialization=zipped)
    module = load_model(SPEC, tmp_path / "resnet18.pth")
    assert same(module, state) and not module.training
    assert all(parameter.device.type == "cpu" for parameter in module.parameters())


def test_loading_draws_no_random_numbers(state, tmp_path):
    torch.save(state, tmp_path / "resnet18.pth")
    before = torch.get_rng_state()
    load_model(SPEC, tmp_path / "resnet18.pth")
    assert torch.equal(torch.get_rng_state(), before)


def test_entries_that_only_training_uses_are_allowed(state, tmp_path):
    spec = ModelSpec("resnet18", SPEC.weights, unused_weights=("aux1.", "aux2."))
    torch.save({**state, "aux1.fc.weight": torch.zeros(1)}, tmp_path / "resnet18.pth")
    assert same(load_model(spec, tmp_path / "resnet18.pth"), state)
    with pytest.raises(UserError, match=r"holds no weights of resnet18: aux1.fc.weight unknown;"):
        load_model(SPEC, tmp_path / "resnet18.pth")


def test_counters_of_batch_norm_may_be_absent(state, tmp_path):
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18.pth")
    assert same(load_model(SPEC, tmp_path / "resnet18.pth"), state)


class Unsafe:
    """Code that an unsafe loader would execute."""

    def __reduce__(self):
        return (pytest.fail, ("the file's code was run",))


def half(state):
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda state: {"state_dict": state, "epoch": 3}, "holds no state dict"),
        (lambda state: torch.zeros(3), "holds no state dict"),
        (lambda state: {1: torch.zeros(3)}, "holds no state dict"),
        (lambda state: Unsafe(), r"cannot be read \(UnpicklingError: .*\)"),
        (lambda state: {**state, "fc.bias": torch.zeros(10)}, r"fc.bias is float32 10, expected float32 1000"),
        (half, r"conv1.weight is float16 64×3×7×7, expected float32 64×3×7×7 \(and 101 more\)"),
        (
            lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
            r"conv1.weight \(and 101 more\) missing, module.conv1.weight \(and 121 more\) unknown",
        ),
        (lambda state: {n: t for n, t in state.items() if n != "fc.weight"}, "fc.weight missing"),
    ],
    ids=["a checkpoint", "a tensor", "odd names", "code", "a shape", "float16", "other names", "one missing"],
)
def test_a_file_of_something_else(content, problem, state, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(content(state), path)
    with pytest.raises(UserError, match=problem) as caught:
        load_model(SPEC, path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and "\n" not in message
    assert message.endswith(
        "; expected the state dict of resnet18: put it there, or remove the file and choose another source with "
        "--weights"
    )


def test_weights_of_another_architecture(state, tmp_path):
    torch.save(state, tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match=r"no weights of alexnet: features.0.weight .*missing, conv1.weight .*unknown;"):
        load_model(MODELS["alexnet"], tmp_path / "alexnet.pth")


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before torch 1.6"])
def test_a_truncated_file(part, zipped, state, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(UserError, match=r"resnet18.pth cannot be read \([^\n]*\); expected [^\n]*$"):
        load_model(SPEC, path)


def test_a_damaged_file_is_refused_in_plain_words(tmp_path):
    """Found by fuzzing: torch's message about these two bytes contains escape codes for bold text."""
    (tmp_path / "resnet18.pth").write_bytes(b"c*")
    with pytest.raises(UserError) as error:
        load_model(SPEC, tmp_path / "resnet18.pth")
    assert str(error.value).isprintable()


def test_an_entrys_name_cannot_control_the_terminal(state, tmp_path):
    torch.save({**state, "\x1b[2Jodd": torch.ones(1)}, tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"\\x1b\[2Jodd unknown"):
        load_model(SPEC, tmp_path / "resnet18.pth")


@pytest.mark.parametrize("name", ["absent.pth", "."])
def test_no_file_at_all(name, tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(.*(No such file|Is a directory).*\); expected"):
        load_model(SPEC, tmp_path / name)


def test_saving_overwrites_even_the_source_file(tmp_path):
    for content in (b"old", b"new"):
        (tmp_path / "made.pth").write_bytes(content)
        save_weights(SPEC, WeightsFile(tmp_path / "made.pth", ""), tmp_path)
        save_weights(SPEC, WeightsFile(tmp_path / "resnet18.pth", ""), tmp_path)
        assert (tmp_path / "resnet18.pth").read_bytes() == content
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["made.pth", "resnet18.pth"]


def test_a_copy_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "resnet18.pth").write_bytes(b"old")

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(UserError, match=r"^--save-weights .* cannot be written \(No space left on device\): name "):
        save_weights(SPEC, WeightsFile(tmp_path / "resnet18.pth", ""), tmp_path)
    assert (tmp_path / "resnet18.pth").read_bytes() == b"old"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".resnet18")]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"^--save-weights .*file cannot be written \(File exists\): name another"):
        save_weights(SPEC, WeightsFile(tmp_path / "file", ""), tmp_path / "file")
