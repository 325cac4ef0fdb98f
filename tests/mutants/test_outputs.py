"""Tests of the mutants: each is wrong in the way its name says, and in no other."""

from __future__ import annotations

import numpy
import pytest
import torch
from torchvision import transforms

from fixtures.mutants import outputs as mutants
from fixtures.mutants.outputs import Predictions


@pytest.fixture
def predictions():
    """Ten images, six classes. Classes 1, 2 and 4 are labelled; all labelled images but one are predicted correctly."""
    logits = numpy.random.default_rng(1).normal(size=(10, 6)).astype(numpy.float32)
    labels = numpy.array([4, 2, 1, 4, 2, 1, 4, 2, -1, 1])
    logits[numpy.arange(9), labels[:9]] += 10 * (labels[:9] >= 0)
    logits[9, 3] += 10
    return Predictions(logits, labels, 0.01)


def test_known_classes_are_those_the_twin_gets_right(predictions):
    assert predictions.known == (1, 2, 4)


def test_frozen_repeats_the_first_output(predictions):
    wrong = mutants.frozen(predictions)
    assert (wrong == predictions.logits[0]).all() and wrong.shape == predictions.logits.shape


def test_one_element_is_nan(predictions):
    assert numpy.isnan(mutants.not_a_number(predictions)).sum() == 1


def test_only_the_best_two_classes_are_swapped(predictions):
    wrong = mutants.top_two_swapped(predictions)
    order, before = numpy.argsort(wrong, axis=1), numpy.argsort(predictions.logits, axis=1)
    assert (order[:, -1] == before[:, -2]).all() and (order[:, -2] == before[:, -1]).all()
    assert (order[:, :-2] == before[:, :-2]).all()


def test_permuted_classes_are_labelled_ones(predictions):
    wrong = mutants.classes_permuted(predictions)
    assert (wrong[:, 1] == predictions.logits[:, 2]).all() and (wrong[:, 2] == predictions.logits[:, 1]).all()
    assert (wrong[:, [0, 3, 4, 5]] == predictions.logits[:, [0, 3, 4, 5]]).all()


def test_a_dead_class_never_wins(predictions):
    assert not (mutants.class_dead(predictions).argmax(axis=1) == 1).any()


def test_mutants_of_labels_need_labels(predictions):
    unlabelled = Predictions(predictions.logits, numpy.full(10, -1), 0.01)
    assert mutants.classes_permuted(unlabelled) is None and mutants.class_dead(unlabelled) is None


def test_enough_classes_are_changed_for_accuracy_to_notice():
    """1000 images, 200 classes: one class is half a percentage point, and one point may be lost."""
    labels = numpy.arange(1000) % 200
    many = Predictions(numpy.eye(200, dtype=numpy.float32)[labels], labels, 0.01)
    assert many.enough == (0, 1, 2)
    for make in (mutants.class_dead, mutants.classes_permuted):
        assert (make(many).argmax(axis=1) != labels).sum() == 15, make.__name__


def test_mutant_whose_errors_cancel_is_left_out():
    """With class 0 dead, the image that was misclassified as 0 becomes correct."""
    logits = numpy.array([[3, 2, 1], [3, 2, 1]], dtype=numpy.float32)
    assert mutants.class_dead(Predictions(logits, numpy.array([0, 1]), 0.01)) is None


def test_integers_and_single_images_have_fewer_mutants():
    whole = Predictions(numpy.arange(6).reshape(3, 2), numpy.full(3, -1), 0.01)
    assert mutants.not_a_number(whole) is None and mutants.noise(whole) is None
    alone = Predictions(numpy.ones((1, 4), numpy.float32), numpy.full(1, -1), 0.01)
    assert mutants.frozen(alone) is None and mutants.shifted_by_one(alone) is None
    assert numpy.isnan(mutants.not_a_number(alone)).sum() == 1


def test_noise_is_three_times_the_tolerance_at_its_largest(predictions):
    change = numpy.abs(mutants.noise(predictions) - predictions.logits).max() / numpy.abs(predictions.logits).max()
    assert change == pytest.approx(0.03, rel=1e-3)


def test_mutants_do_not_modify_the_predictions(predictions):
    before = predictions.logits.copy()
    for make in mutants.OUTPUT_MUTANTS.values():
        assert not numpy.array_equal(make(predictions), before), make.__name__
    assert numpy.array_equal(predictions.logits, before)


def test_input_mutants_change_the_input_as_they_say():
    class Preprocess:
        mean, std = [0.5, 0.4, 0.3], [0.2, 0.2, 0.25]

    batch = torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    pixels = mutants.without_normalisation(batch, Preprocess)
    assert torch.allclose(pixels[:, 2], batch[:, 2] * 0.25 + 0.3)
    assert mutants.without_normalisation(batch, object()) is None
    assert torch.equal(mutants.bgr(batch, None)[:, 0], batch[:, 2])
    shifted = mutants.crop_off(batch, None)
    assert shifted.shape == batch.shape and torch.equal(shifted[..., 16:], batch[..., :4])
    assert torch.equal(shifted[..., :16], batch[..., :1].expand(-1, -1, -1, 16)), "the edge is repeated"


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.2, 0.25]
NORMALISE = transforms.Normalize(MEAN, STD)


@pytest.mark.parametrize(
    "preprocess",
    [
        NORMALISE,
        transforms.Compose([transforms.ToTensor(), NORMALISE]),
        transforms.Compose([transforms.Compose([transforms.ToTensor(), NORMALISE]), torch.nn.Identity()]),
        torch.nn.Sequential(torch.nn.Identity(), NORMALISE),
        transforms.Compose([transforms.Normalize([9.0] * 3, [9.0] * 3), NORMALISE]),
        transforms.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ],
)
def test_normalisation_is_found_at_any_depth(preprocess):
    batch = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = batch * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(mutants.without_normalisation(batch, preprocess), expected)


@pytest.mark.parametrize("preprocess", [transforms.ToTensor(), transforms.Compose([]), abs, torch.nn.Identity()])
def test_preprocessing_without_normalisation_has_no_such_mutant(preprocess):
    assert mutants.without_normalisation(torch.zeros(1, 3, 8, 8), preprocess) is None


def test_mean_must_have_one_value_or_one_per_channel():
    assert (mutants.without_normalisation(torch.ones(1, 3, 2, 2), transforms.Normalize([0.5], [2.0])) == 2.5).all()
    assert mutants.without_normalisation(torch.ones(1, 4, 2, 2), NORMALISE) is None


def test_weight_mutants_keep_shapes_and_change_values():
    for spoil in (mutants.other_weights, mutants.half_weights):
        layer = torch.nn.Linear(7, 5)
        before = layer.weight.detach().clone()
        spoil(layer)
        assert layer.weight.shape == before.shape and not torch.equal(layer.weight, before)
    assert torch.equal(layer.weight.half().float(), layer.weight), "half_weights rounds to float16"


def test_every_mutant_has_a_check_that_exists():
    every = {**mutants.OUTPUT_MUTANTS, **mutants.INPUT_MUTANTS, **mutants.WEIGHT_MUTANTS, **mutants.FP32_MUTANTS}
    assert len(every) == 13 and {mutant.owner for mutant in every} == {"agreement", "top1", "accuracy"}
