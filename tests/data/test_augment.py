import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from kdrun.data.augment import draw_crops, take_crops, with_margins, without_margins


def augment_batch(pixels, size, indices, *, seed, view, flip):
    crops = draw_crops(size, indices, seed=seed, view=view)
    return take_crops(pixels, size, crops, flip=flip)


def all_views(image, flip):
    """Every crop of the zero-padded (H, H, C) image, by (top, left, mirrored)."""
    size = len(image)
    padding = size // 8
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    views = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + size, left : left + size]
            views[top, left, False] = crop
            if flip:
                views[top, left, True] = crop[:, ::-1]
    return {key: view.tobytes() for key, view in views.items()}


def random_images(count, size, channels):
    generator = torch.Generator().manual_seed(size)
    shape = (count, size, size, channels)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (7, 3)])
def test_every_view_is_a_crop_of_the_padded_image(size, channels, flip):
    images = random_images(20, size, channels)
    indices = torch.tensor([19, 0, 3, 3, 7, 12])
    views = augment_batch(with_margins(images), size, indices, seed=1, view=2, flip=flip)
    for index, view in zip(indices.tolist(), views, strict=True):
        assert view.numpy().tobytes() in all_views(images[index].numpy(), flip).values()


@pytest.mark.parametrize("size", [4, 8, 28])
def test_margins_are_put_in_and_left_out_again(size):
    images = random_images(5, size, 3)
    pixels = with_margins(images)
    assert torch.equal(without_margins(pixels, size), images)
    assert pixels.long().sum() == images.long().sum()


def test_crops_and_mirrors_are_drawn_uniformly():
    images = random_images(1, 8, 3)
    keys = {view: key for key, view in all_views(images[0].numpy(), flip=True).items()}
    assert len(keys) == 18
    many = images.expand(18 * 200, 8, 8, 3)
    indices = torch.arange(len(many))
    views = augment_batch(with_margins(many), 8, indices, seed=0, view=0, flip=True)
    drawn = [keys[view.numpy().tobytes()] for view in views]
    counts = [drawn.count(key) for key in keys.values()]
    assert chisquare(counts).pvalue > 1e-3


def test_a_view_depends_on_seed_view_and_index_alone():
    pixels = with_margins(random_images(40, 16, 3))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))

    def views(indices, seed=3, view=4):
        return augment_batch(pixels, 16, indices, seed=seed, view=view, flip=True)

    together = views(order)
    apart = torch.cat([views(part) for part in order.split(7)])
    assert torch.equal(together, apart)
    assert torch.equal(together[order.argsort()], views(torch.arange(40)))
    assert not torch.equal(together, views(order, view=5))
    assert not torch.equal(together, views(order, seed=4))
