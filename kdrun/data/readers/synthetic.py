"""Synthetic images for benchmarks and trials (dataset=fake)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdrun.catalog.datasets import FAKE_IMAGE_SIZE, ImageShape
from kdrun.data.counter_random import RandomStream, host_generator
from kdrun.data.source import Images, Source

BLOCKS = 4  # height and width of a fake class's pattern


def fake_shape(values: Mapping[str, Any]) -> ImageShape:
    """The shape of the synthetic images."""
    return ImageShape(values["num_classes"], values["channels"], FAKE_IMAGE_SIZE)


def make_fake(
    num_classes: int, num_images: int, channels: int, image_size: int | None
) -> Source[Images]:
    """Generate learnable images: noise on a coarse pattern per class; always the same.

    `num_images` for training, and a fifth of that, but at least one per class, for the test.
    """
    size = image_size or FAKE_IMAGE_SIZE
    generator = host_generator(0, RandomStream.FAKE)
    coarse = generator.integers(0, 192, (num_classes, BLOCKS, BLOCKS, channels), np.uint8)
    blocks = np.arange(size) * BLOCKS // size
    patterns = coarse.take(blocks, axis=1).take(blocks, axis=2)

    def draw(count: int) -> Images:
        # Shifted down from whole bytes: drawing bounded integers takes ten times as long.
        pixels = generator.integers(0, 256, (count, size, size, channels), np.uint8) & 63
        for number, pattern in enumerate(patterns):
            pixels[number::num_classes] += pattern
        return Images(pixels, np.arange(count) % num_classes)

    return Source(
        train=draw(num_images),
        validation=None,
        test=draw(max(num_images // 5, num_classes)),
        class_names=tuple(f"class {number}" for number in range(num_classes)),
    )
