"""A torchvision architecture with the user's own checkpoint: what is loaded, and what is refused in one line."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision.models import get_model

from fixtures.common.errors import UserError
from fixtures.models import finetuned
from fixtures.models.own_weights import own_weights
from fixtures.models.zoo import build_module, preprocessing


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(3)
    return get_model("squeezenet1_1", weights=None, num_classes=5).eval()


def spec(path, architecture="squeezenet1_1", num_classes=5):
    return finetuned("mine", architecture, str(path), num_classes)


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_module_has_the_file_s_weights(key, prefix, trained, tmp_path):
    path = tmp_path / "best.pth"
    state = {prefix + name: value for name, value in trained.state_dict().items()}
    torch.save({key: state, "epoch": 3} if key else state, path)
    module = build_module(spec(path))
    batch = preprocessing(spec(path))(Image.new("RGB", (400, 300), "red"))[None]
    assert batch.shape == (1, 3, 224, 224) and not module.training
    with torch.inference_mode():
        assert torch.equal(module(batch), trained(batch))


def test_its_weights_are_own_and_known_by_their_content(trained, tmp_path):
    path = tmp_path / "best.pth"
    torch.save(trained.state_dict(), path)
    one = own_weights(spec(path), tmp_path / "cache")
    changed = {name: value + 1 for name, value in trained.state_dict().items()}
    torch.save(changed, path)
    assert spec(path).weights_brought == "own" and own_weights(spec(path), tmp_path / "cache").digest != one.digest


def test_what_does_not_fit_is_one_line(trained, tmp_path):
    path = tmp_path / "best.pth"
    torch.save(trained.state_dict(), path)
    for wrong, expected in (
        (
            spec(path, num_classes=7),
            "best.pth does not fit squeezenet1_1 with 7 classes: classifier.1.weight is 5×512×1×1, but .*7×512",
        ),
        (
            spec(path, "resnet18"),
            "best.pth does not fit resnet18 with 5 classes: conv1.weight is missing and 173 more differ",
        ),
        (spec(path, "resnet81"), "torchvision has no resnet81; for a model of timm write timm/ before its name"),
        (spec(tmp_path / "gone.pth"), "gone.pth: no such file"),
    ):
        with pytest.raises(UserError, match=expected) as refused:
            build_module(wrong)
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("saved", "expected"), [(b"text", "cannot be read"), (torch.nn.Linear(1, 1), "cannot be read"), ([1], "a list")]
)
def test_a_file_without_a_state_dict_says_how_to_save_one(saved, expected, tmp_path):
    path = tmp_path / "best.pth"
    path.write_bytes(saved) if isinstance(saved, bytes) else torch.save(saved, path)
    with pytest.raises(UserError, match=f"best.pth .*{expected}.*state_dict"):
        build_module(spec(path))
