"""Selection of a run's images: limits, validation split, label noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kdrun.data.counter_random import RandomStream, host_generator
from kdrun.data.source import Part, Source, check_classes
from kdrun.errors import DataError


@dataclass(frozen=True)
class SplitOptions:
    """Options for selecting and splitting the images.

    Attributes:
        limit: maximum number of training images, and of each held-out part; None for all.
        val_fraction: share of the training images held out, in [0, 1).
        label_noise: share of the remaining training labels replaced by wrong ones, in [0, 1).
        seed: of the random selection of training images.
    """

    limit: int | None
    val_fraction: float
    label_noise: float
    seed: int


def divide(name: str, source: Source[Part], rules: SplitOptions) -> Source[Part]:
    """Select the parts of a run; without a validation part if `val_fraction` is 0.

    A validation part of the data set is used as is, and no training images are held out.

    Raises:
        DataError: too few images of a class, or for the validation split.
    """
    names = source.class_names
    train = _limited(source.train, rules.limit, host_generator(rules.seed, RandomStream.LIMIT))
    check_classes(f"{name}: training images", train.labels, names, least=2)
    validation = None
    if rules.val_fraction > 0 and source.validation is not None:
        validation = _held_out(name, source.validation, names, rules.limit)
    elif rules.val_fraction > 0:
        train, validation = _split(name, train, names, rules)
    noisy = with_noise(train.labels, len(names), rules.label_noise, rules.seed)
    test = _held_out(name, source.test, names, rules.limit)
    return Source(replace(train, labels=noisy), validation, test, names)


def stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sorted positions of `count` random images; class shares are kept to within one image.

    Not scikit-learn's version: stored results, compared for years, depend on this draw, and any
    count must work.
    """
    sizes = np.bincount(labels)
    quota, rest = np.divmod(sizes * count, len(labels))
    quota[np.argsort(-rest, kind="stable")[: count - quota.sum()]] += 1
    classes = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    drawn = [
        generator.permutation(places)[:taken] for places, taken in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def with_noise(labels: np.ndarray, num_classes: int, fraction: float, seed: int) -> np.ndarray:
    """The labels with a (rounded) `fraction` replaced by random other classes."""
    generator = host_generator(seed, RandomStream.LABEL_NOISE)
    chosen = generator.choice(len(labels), round(fraction * len(labels)), replace=False)
    noisy = labels.copy()
    noisy[chosen] += generator.integers(1, num_classes, len(chosen))
    return noisy % num_classes


def _limited(part: Part, limit: int | None, generator: np.random.Generator) -> Part:
    if limit is None or limit >= len(part.labels):
        return part
    return part.take(stratified(part.labels, limit, generator))


def _held_out(name: str, part: Part, class_names: Sequence[str], limit: int | None) -> Part:
    """The part, or `limit` images of it, independent of the run's seed."""
    kept = _limited(part, limit, host_generator(0, RandomStream.HELD_OUT))
    check_classes(f"{name}: held-out images", kept.labels, class_names, least=1)
    return kept


def _split(
    name: str, part: Part, class_names: Sequence[str], rules: SplitOptions
) -> tuple[Part, Part]:
    """Split into training and held-out images."""
    count, classes = round(rules.val_fraction * len(part.labels)), len(class_names)
    held_out = stratified(part.labels, count, host_generator(rules.seed, RandomStream.VALIDATION))
    kept = np.delete(np.arange(len(part.labels)), held_out)
    if count < classes or len(np.unique(part.labels[kept])) < classes:
        raise DataError(
            f"{name}: dataset.val_fraction={rules.val_fraction:g} makes {len(kept)} training and "
            f"{count} validation images, too few for {classes} classes; change it, "
            "raise dataset.limit, or set dataset.val_fraction=0"
        )
    return part.take(kept), part.take(held_out)
