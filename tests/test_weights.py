"""Where weights come from, what a wrong file is told, and that they come back bit for bit."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest
import torch

from fixtures import weights, zoo
from fixtures.calibration import RECIPE, SEED
from fixtures.errors import UserError
from fixtures.weights import WeightsFile, WeightsSource, decide, identity, load_model, save_weights, weights_file
from fixtures.zoo import MODELS, ModelSpec

SPEC = MODELS["resnet18"]
PUBLISHED = "resnet18-f37072fd.pth"
SMALL = ModelSpec("shufflenet_v2_x0_5", "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1")


class NetworkUsed(AssertionError):
    pass


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every socket is an error."""

    def refuse(*arguments, **options):
        raise NetworkUsed("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch, tmp_path):
    """torch.hub's folder of downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def state():
    """A state dict of SPEC, random."""
    torch.manual_seed(0)
    from torchvision.models import resnet18

    return resnet18(weights=None).state_dict()


@pytest.fixture
def published(state, checkpoints):
    """The published file of SPEC in torch.hub's folder."""
    torch.save(state, checkpoints / PUBLISHED)
    return checkpoints / PUBLISHED


def same(module, state):
    mine = module.state_dict()
    return mine.keys() == state.keys() and all(torch.equal(mine[name], state[name]) for name in state)


def test_without_network_means_without():
    with pytest.raises(NetworkUsed):
        socket.create_connection(("localhost", 1))


# Decide


def test_auto_takes_pretrained_where_torchs_cache_has_all(published):
    source = decide("auto", [SPEC])
    assert (source.kind, source.folder) == ("pretrained", None)
    assert source.reason == "torch's cache has them all"
    assert weights_file(SPEC, source, Path("unused")).path == published


def test_auto_takes_calibrated_for_all_where_one_is_absent(published):
    source = decide("auto", [SPEC, MODELS["vgg16"], MODELS["alexnet"]])
    assert (source.kind, source.folder) == ("calibrated", None)
    assert source.reason == "torch's cache lacks vgg16, alexnet; --weights pretrained downloads"


def test_auto_does_not_ask_for_files_of_the_users_own_models(published):
    assert decide("auto", [SPEC, ModelSpec("own", builder=torch.nn.Identity)]).kind == "pretrained"


@pytest.mark.parametrize("kind", ["pretrained", "calibrated"])
def test_a_kind_that_is_asked_for(kind):
    assert decide(kind, [SPEC]) == WeightsSource(kind, None, f"asked for with --weights {kind}")


def test_a_folder(tmp_path):
    assert decide(str(tmp_path), [SPEC]) == WeightsSource("folder", tmp_path, f"from {tmp_path}")


@pytest.mark.parametrize("choice", ["absent/folder", "calibrate", "file"])
def test_what_is_no_kind_and_no_folder(choice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    expected = f"--weights '{choice}' is neither auto, pretrained, calibrated nor a folder that exists"
    with pytest.raises(UserError, match=f"^{expected}$"):
        decide(choice, [SPEC])


# Calibrated


@pytest.fixture
def quick(monkeypatch):
    """A recipe that takes no time; counts its calls."""
    calls = []

    def calibrate(module, batch, labels, seed):
        calls.append((tuple(batch.shape), labels.tolist(), seed))
        for number, parameter in enumerate(module.parameters()):
            torch.nn.init.constant_(parameter, number)

    monkeypatch.setattr(weights, "calibrate", calibrate)
    return calls


def test_calibrated_weights_are_made_once_and_kept(quick, tmp_path):
    source = decide("calibrated", [SMALL])
    first = weights_file(SMALL, source, tmp_path / "cache")
    assert weights_file(SMALL, source, tmp_path / "cache") == first
    ((shape, labels, seed),) = quick
    assert shape == (64, 3, 224, 224) and len(set(labels)) == 51 and seed == SEED
    assert first.path.parent.parent == tmp_path / "cache"
    assert first.digest == hashlib.sha256(first.path.read_bytes()).hexdigest()
    parameters = list(load_model(SMALL, first.path).parameters())
    assert bool((parameters[-1] == len(parameters) - 1).all())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("fixtures.weights.RECIPE", "other"),
        ("fixtures.weights.SEED", 1),
        ("torch.__version__", "2.99.1"),
        ("torchvision.__version__", "0.99"),
        ("fixtures.images.digest", lambda photographs: "other photographs"),
    ],
    ids=["recipe", "seed", "torch", "torchvision", "photographs"],
)
def test_what_makes_other_weights_makes_another_entry(where, value, quick, tmp_path, monkeypatch):
    source = decide("calibrated", [SMALL])
    first = weights_file(SMALL, source, tmp_path)
    monkeypatch.setattr(where, value)
    assert weights_file(SMALL, source, tmp_path).path != first.path
    assert len(quick) == 2


def test_another_builder_option_makes_another_entry(quick, tmp_path):
    source = decide("calibrated", [SMALL])
    other = ModelSpec(SMALL.name, SMALL.weights, builder_options={"num_classes": 1000})
    assert weights_file(SMALL, source, tmp_path).path != weights_file(other, source, tmp_path).path


def test_the_file_does_not_depend_on_where_it_was_made(quick, tmp_path):
    weights._calibrate_into(tmp_path / "one.pth", SMALL)
    weights._calibrate_into(tmp_path / "another_name.pth", SMALL)
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "another_name.pth").read_bytes()


def test_a_damaged_photograph_of_the_suite_is_named(quick, tmp_path, monkeypatch):
    bundled = tmp_path / "images"
    bundled.mkdir()
    (bundled / "labels.csv").write_text("file,imagenet_index,imagenet_name\nbee_01.jpg,309,bee\n")
    (bundled / "bee_01.jpg").write_bytes(b"no picture")
    monkeypatch.setattr("fixtures.images.BUNDLED", bundled)
    with pytest.raises(UserError, match=r"bee_01.jpg, needed for calibrated weights, cannot be read: .*; fetch it"):
        weights_file(SMALL, decide("calibrated", [SMALL]), tmp_path / "cache")


# Pretrained


def serve(monkeypatch, url):
    """Lets SPEC's weights lie at this URL."""

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
    assert message.endswith(f"put the file into {checkpoints}, or take --weights calibrated")


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


# Load


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before torch 1.6"])
def test_weights_come_back_bit_for_bit(zipped, state, tmp_path):
    torch.save(state, tmp_path / "resnet18.pth", _use_new_zipfile_serialization=zipped)
    module = load_model(SPEC, tmp_path / "resnet18.pth")
    assert same(module, state) and not module.training
    assert all(parameter.device.type == "cpu" for parameter in module.parameters())


def test_loading_draws_no_random_numbers(state, tmp_path):
    torch.save(state, tmp_path / "resnet18.pth")
    before = torch.get_rng_state()
    load_model(SPEC, tmp_path / "resnet18.pth")
    assert torch.equal(torch.get_rng_state(), before)


def test_entries_that_only_training_uses_may_be_there(state, tmp_path):
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
    """Code that an unsafe loader would run."""

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
        "; expected the state dict of resnet18: put it there, or remove the file and choose with --weights "
        "where to take it from"
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
    """Found by fuzzing: of these two bytes torch speaks in bold."""
    (tmp_path / "resnet18.pth").write_bytes(b"c*")
    with pytest.raises(UserError) as error:
        load_model(SPEC, tmp_path / "resnet18.pth")
    assert str(error.value).isprintable()


def test_an_entry_s_name_cannot_steer_the_terminal(state, tmp_path):
    torch.save({**state, "\x1b[2Jodd": torch.ones(1)}, tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"\\x1b\[2Jodd unknown"):
        load_model(SPEC, tmp_path / "resnet18.pth")


@pytest.mark.parametrize("name", ["absent.pth", "."])
def test_no_file_at_all(name, tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(.*(No such file|Is a directory).*\); expected"):
        load_model(SPEC, tmp_path / name)


# Save


def test_saved_weights_come_back_with_the_same_digest(quick, tmp_path):
    file = weights_file(SMALL, decide("calibrated", [SMALL]), tmp_path / "cache")
    save_weights(SMALL, file, tmp_path / "new" / "saved")
    assert [path.name for path in (tmp_path / "new" / "saved").iterdir()] == ["shufflenet_v2_x0_5.pth"]
    back = weights_file(SMALL, decide(str(tmp_path / "new" / "saved"), [SMALL]), Path("unused"))
    assert back.digest == file.digest
    assert same(load_model(SMALL, back.path), load_model(SMALL, file.path).state_dict())


def test_saving_replaces_and_may_go_where_it_came_from(tmp_path):
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


# Identity


def test_calibrated_weights_are_known_by_recipe_and_seed():
    assert identity(WeightsSource("calibrated", None, ""), {"alexnet": "a1"}) == {"recipe": RECIPE, "seed": SEED}


@pytest.mark.parametrize("kind", ["pretrained", "folder"])
def test_other_weights_are_known_by_digest(kind):
    source = WeightsSource(kind, None, "")
    assert identity(source, {"alexnet": "a1"}) == {"recipe": kind, "seed": None, "digests": {"alexnet": "a1"}}


def test_every_model_of_the_zoo_has_a_published_name():
    for spec in MODELS.values():
        assert zoo.weights_entry(spec).url.endswith(weights._published_name(spec))
        assert weights._published_name(spec).endswith(".pth")
