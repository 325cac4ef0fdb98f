"""Tests of where weights come from, torch's cache, a download or a folder, and of how they are identified."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest
import torch

from fixtures.common.errors import UserError
from fixtures.models import weights, zoo
from fixtures.models.weights import WeightsFile, WeightsSource, decide, identity, load_model, weights_file
from fixtures.models.zoo import MODELS, ModelSpec
from tests.helpers.random_weights import SPEC, random_state, same
from tests.helpers.sockets import NetworkUsed, refuse_sockets

PUBLISHED = "resnet18-f37072fd.pth"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    refuse_sockets(monkeypatch)


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch, tmp_path):
    """torch.hub's download folder, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture
def published(state, checkpoints):
    """The published file of SPEC in torch.hub's folder."""
    torch.save(state, checkpoints / PUBLISHED)
    return checkpoints / PUBLISHED


def test_the_socket_guard_works():
    with pytest.raises(NetworkUsed):
        socket.create_connection(("localhost", 1))


# Decide
def test_auto_takes_pretrained_if_torchs_cache_has_all_files(published):
    source = decide("auto", [SPEC])
    assert (source.kind, source.folder) == ("pretrained", None)
    assert source.reason == "torch's cache has them all"
    assert weights_file(SPEC, source, Path("unused")).path == published


def test_auto_takes_calibrated_for_all_if_one_file_is_absent(published):
    source = decide("auto", [SPEC, MODELS["vgg16"], MODELS["alexnet"]])
    assert (source.kind, source.folder) == ("calibrated", None)
    assert source.reason == "torch's cache lacks vgg16, alexnet; download with --weights pretrained"


def test_auto_needs_no_files_for_the_users_own_models(published):
    assert decide("auto", [SPEC, ModelSpec("own", builder=torch.nn.Identity)]).kind == "pretrained"


@pytest.mark.parametrize("kind", ["pretrained", "calibrated"])
def test_a_requested_kind(kind):
    assert decide(kind, [SPEC]) == WeightsSource(kind, None, f"requested with --weights {kind}")


def test_a_folder(tmp_path):
    assert decide(str(tmp_path), [SPEC]) == WeightsSource("folder", tmp_path, f"from {tmp_path}")


@pytest.mark.parametrize("choice", ["absent/folder", "calibrate", "file"])
def test_neither_a_kind_nor_a_folder(choice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    expected = f"--weights '{choice}' must be auto, pretrained, calibrated or an existing folder"
    with pytest.raises(UserError, match=f"^{expected}$"):
        decide(choice, [SPEC])


# Pretrained
def serve(monkeypatch, url):
    """Makes SPEC's weights available at this URL."""

    class Entry:
        pass

    Entry.url = url
    monkeypatch.setattr(weights, "weights_entry", lambda spec: Entry)


def digits(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def test_pretrained_weights_are_fetched_once_and_checked(state, tmp_path, checkpoints, monkeypatch):
    torch.save(state, tmp_path / "made.pth")
    served = (tmp_path / "made.pth").rename(tmp_path / f"resnet18-{digits(tmp_path / 'made.pth')}.pth")
    serve(monkeypatch, served.as_uri())
    file = weights_file(SPEC, decide("pretrained", [SPEC]), tmp_path / "cache")
    assert file.path == checkpoints / served.name
    assert file.digest.startswith(digits(served))
    served.unlink()
    assert weights_file(SPEC, decide("pretrained", [SPEC]), tmp_path / "cache") == file
    assert same(load_model(SPEC, file.path), state)


def test_a_download_with_another_checksum_is_refused(tmp_path, checkpoints, monkeypatch):
    served = tmp_path / "resnet18-00000000.pth"
    served.write_bytes(b"something else")
    serve(monkeypatch, served.as_uri())
    with pytest.raises(UserError, match=r"resnet18-00000000.pth cannot be downloaded \(RuntimeError: invalid hash"):
        weights_file(SPEC, decide("pretrained", [SPEC]), tmp_path)
    assert not list(checkpoints.iterdir())


def test_a_download_that_fails_names_url_and_remedy(tmp_path, checkpoints, monkeypatch):
    url = (tmp_path / "absent.pth").as_uri()
    serve(monkeypatch, url)
    with pytest.raises(UserError) as caught:
        weights_file(SPEC, decide("pretrained", [SPEC]), tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{url} cannot be downloaded (URLError: ") and "\n" not in message
    assert message.endswith(f"put the file into {checkpoints}, or use --weights calibrated")


def test_only_pretrained_opens_a_connection(tmp_path, state):
    with pytest.raises(UserError, match=r"^https://download.pytorch.org/models/resnet18-.* cannot be downloaded"):
        weights_file(SPEC, decide("pretrained", [SPEC]), tmp_path)


# Folder
@pytest.mark.parametrize("name", [PUBLISHED, "resnet18.pth"])
def test_a_folder_with_the_published_name_or_ours(name, state, tmp_path):
    torch.save(state, tmp_path / name)
    file = weights_file(SPEC, decide(str(tmp_path), [SPEC]), Path("unused"))
    assert file == WeightsFile(tmp_path / name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())


def test_a_folder_without_the_model_says_what_was_expected(tmp_path):
    (tmp_path / "resnet50.pth").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        weights_file(SPEC, decide(str(tmp_path), [SPEC]), Path("unused"))
    assert str(caught.value) == (
        f"--weights {tmp_path} has no weights of resnet18: expected {PUBLISHED} or resnet18.pth; put one there, from "
        "torchvision or from --save-weights on another machine"
    )


@pytest.mark.parametrize("kind", ["pretrained", "folder"])
def test_other_weights_are_identified_by_digest(kind):
    source = WeightsSource(kind, None, "")
    assert identity(source, {"alexnet": "a1"}) == {"recipe": kind, "seed": None, "digests": {"alexnet": "a1"}}


def test_every_model_of_the_zoo_has_a_published_name():
    for spec in [spec for spec in MODELS.values() if not spec.builder]:
        assert zoo.weights_entry(spec).url.endswith(weights._published_name(spec))
        assert weights._published_name(spec).endswith(".pth")
