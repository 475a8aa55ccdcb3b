"""Data sets that need no files: scikit-learn's digits, and made-up images for benchmarks."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kdrun.data.random import Stream, host_generator
from kdrun.data.selection import stratified
from kdrun.data.shapes import FAKE_IMAGE_SIZE
from kdrun.data.source import Images, Source

BLOCKS = 4  # a side of a fake class's pattern


def read_digits() -> Source[Images]:
    """1797 real handwritten digits, 8 x 8 grey; always the same quarter of them is the test."""
    table = _digits_table()
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    # Not the run's seed: the test set is the same for all runs.
    test = stratified(labels, round(len(labels) / 4), host_generator(0, Stream.DIGITS))
    train = np.delete(np.arange(len(labels)), test)
    images = Images(pixels, labels)
    return Source(
        train=images.take(train),
        validation=None,
        test=images.take(test),
        class_names=tuple("0123456789"),
    )


def _digits_table() -> np.ndarray:
    """(1797, 65): the pixels of each digit, 0 to 16, and its label."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    # The file alone, since importing the package takes longer than the rest of the start-up.
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def make_fake(
    num_classes: int, num_images: int, channels: int, image_size: int | None
) -> Source[Images]:
    """Noise on a coarse pattern of each class, so that a model can learn it; always the same.

    `num_images` for training, and a fifth of it, but at least one of each class, for the test.
    """
    size = image_size or FAKE_IMAGE_SIZE
    generator = host_generator(0, Stream.FAKE)
    coarse = generator.integers(0, 192, (num_classes, BLOCKS, BLOCKS, channels), np.uint8)
    blocks = np.arange(size) * BLOCKS // size
    patterns = coarse.take(blocks, axis=1).take(blocks, axis=2)

    def draw(count: int) -> Images:
        # Whole bytes cut down, since bounded integers take ten times as long.
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
