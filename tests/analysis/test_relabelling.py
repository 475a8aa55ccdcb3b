import itertools

import pytest
import torch

from kdrun.analysis import relabelling
from kdrun.analysis.relabelling import find_relabelling


def decisions(outputs, images, right, seed=0):
    """Labels in turn, and the outputs of a model that is right on a share of the images."""
    generator = torch.Generator().manual_seed(seed)
    classes = len(outputs)
    labels = torch.randint(classes, (images,), generator=generator)
    guesses = torch.randint(classes, (images,), generator=generator)
    knows = torch.rand(images, generator=generator) < right
    return torch.where(knows, torch.tensor(outputs)[labels], guesses), labels


def rotated(classes):
    return [(label + 1) % classes for label in range(classes)]


@pytest.mark.parametrize(
    ("outputs", "images", "right"),
    [
        ([0, 1, 3, 2, 4, 5, 6, 7, 8, 9], 300, 0.95),
        (sorted(range(20), key=str), 400, 0.9),
        (rotated(10), 800, 0.5),
        (list(reversed(range(100))), 2000, 0.7),
        ([1, 0], 60, 0.9),
    ],
)
@pytest.mark.parametrize("assigned", [2_000, 1])
def test_another_order_of_the_classes_is_found(outputs, images, right, assigned, monkeypatch):
    monkeypatch.setattr(relabelling, "ASSIGNED", assigned)
    decided, labels = decisions(outputs, images, right)
    found = find_relabelling(decided, labels, len(outputs))
    moved = {(c, o) for c, o in enumerate(outputs) if c != o}
    assert len(moved & set(found.outputs)) >= 0.9 * len(moved)
    held_out, classes = decided[1::2], labels[1::2]
    assert found.accuracy == pytest.approx((held_out == classes).double().mean().item())
    table = torch.arange(len(outputs))
    for label, output in found.outputs:
        table[label] = output
    assert found.relabelled == pytest.approx((held_out == table[classes]).double().mean().item())


def test_few_classes_are_assigned_as_trying_every_permutation_would():
    decided, labels = decisions([2, 0, 1, 3, 4], 200, 0.6)
    found = dict(find_relabelling(decided, labels, 5).outputs)
    best = max(
        itertools.permutations(range(5)),
        key=lambda outputs: (decided[::2] == torch.tensor(outputs)[labels[::2]]).sum().item(),
    )
    assert [found.get(label, label) for label in range(5)] == list(best)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("right", [0.0, 0.3, 0.97])
def test_the_right_order_is_left_however_weak_the_model_and_few_the_images(classes, right):
    for seed in range(40):
        for images in (1, 2, 40, 500):
            decided, labels = decisions(list(range(classes)), images, right, seed)
            assert find_relabelling(decided, labels, classes) is None


def test_a_model_that_says_one_class_of_all_images_has_no_other_order():
    labels = torch.arange(300) % 10
    assert find_relabelling(torch.full((300,), 3), labels, 10) is None


def test_an_untrained_model_that_fits_another_order_by_chance_keeps_its_own():
    for seed in range(20):
        decided, labels = decisions(rotated(10), 1000, 0.25, seed)
        assert find_relabelling(decided, labels, 10) is None
