import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.data.mixing import Mixing, draw_cutmix, draw_mixup


def mixings():
    common = {"strength": 1.0, "num_classes": 4, "seed": 3}
    for step in range(50):
        yield draw_mixup(view=1, step=step, **common)
        yield draw_cutmix(image_size=12, view=1, step=step, **common)


def test_mixup_is_the_convex_combination_with_the_reversed_batch():
    images, labels = torch.rand(5, 3, 4, 4), torch.tensor([0, 1, 2, 3, 3])
    mixing = draw_mixup(strength=1.0, num_classes=4, seed=0, view=0, step=0)
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    for mixed, whole in ((mixing.images(images), images), (mixing.labels(labels), one_hot)):
        for i in range(5):
            expected = mixing.kept * whole[i] + (1 - mixing.kept) * whole[4 - i]
            torch.testing.assert_close(mixed[i], expected)


def test_cutmix_takes_a_box_whose_area_is_the_labels_share():
    own, partner = torch.zeros(1, 3, 12, 12), torch.ones(1, 3, 12, 12)
    shares = set()
    for step in range(200):
        mixing = draw_cutmix(strength=1.0, num_classes=2, image_size=12, seed=0, view=0, step=step)
        mixed = mixing.images(torch.cat([own, partner]))
        labels = mixing.labels(torch.tensor([0, 1]))
        torch.testing.assert_close(mixed[0].mean(), labels[0, 1])
        torch.testing.assert_close(mixed[1].mean(), labels[1, 1])
        inside = mixed[0, 0].nonzero()
        if len(inside):
            low, high = inside.min(0).values, inside.max(0).values + 1
            assert len(inside) == (high - low).prod()  # one full rectangle
        shares.add(mixing.kept)
    assert len(shares) > 20
    assert min(shares) < 0.5
    assert max(shares) > 0.9


def test_soft_labels_are_probabilities():
    labels = torch.tensor([0, 3, 1, 2, 2, 0])
    for mixing in mixings():
        soft = mixing.labels(labels)
        assert soft.shape == (6, 4)
        assert soft.min() >= 0
        torch.testing.assert_close(soft.sum(1), torch.ones(6))


def test_mixing_leaves_the_batch_itself_as_it_was():
    images = torch.rand(6, 3, 12, 12)
    before = images.clone()
    for mixing in mixings():
        mixing.images(images)
    assert torch.equal(images, before)


@settings(deadline=None)
@given(st.integers(0, 200))
def test_mixing_commutes_with_normalisation(step):
    # So a teacher with other constants sees the same mixed picture.
    images = torch.rand(4, 3, 12, 12)
    mean, std = torch.rand(2, 3, 1, 1)
    common = {"strength": 0.4, "num_classes": 2, "seed": 0, "view": 0, "step": step}
    for mixing in (draw_mixup(**common), draw_cutmix(image_size=12, **common)):
        one = mixing.images((images - mean) / (std + 1))
        other = (mixing.images(images) - mean) / (std + 1)
        torch.testing.assert_close(one, other)


def test_a_draw_is_a_function_of_seed_view_and_step():
    def kept(**changes):
        place = {"seed": 1, "view": 2, "step": 3} | changes
        return draw_mixup(strength=1.0, num_classes=2, **place).kept

    assert kept() == kept()
    assert len({kept(), kept(seed=2), kept(view=3), kept(step=2)}) == 4


@pytest.mark.parametrize("strength", [0.2, 1.0, 5.0])
def test_shares_have_the_moments_of_the_beta_distribution(strength):
    shares = torch.tensor(
        [draw_mixup(strength=strength, num_classes=2, seed=0, view=0, step=s).kept
         for s in range(2000)]
    )  # fmt: skip
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(0.25 / (2 * strength + 1), rel=0.1)


def test_a_mixing_that_keeps_all_changes_nothing():
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(Mixing(2, 1.0).images(images), images)
    assert torch.equal(
        Mixing(2, 1.0).labels(torch.tensor([0, 1, 1])).argmax(1), torch.tensor([0, 1, 1])
    )
