"""Selection of a run's images: limits, validation split, label noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kdrun.data.counter_random import RandomStream, host_generator
from kdrun.data.source import Files, Images, Part, Source, check_classes
from kdrun.errors import DataError, some_of


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

    A validation part of the data set is used as is, and no training images are held out. Lines for
    the user on the split are added to the source's.

    Raises:
        DataError: too few images of a class, or for the validation split.
    """
    names = source.class_names
    train = _limited(source.train, rules.limit, host_generator(rules.seed, RandomStream.LIMIT))
    check_classes(f"{name}: training images", train.labels, names, limit=rules.limit)
    validation = None
    if rules.val_fraction > 0 and source.validation is not None:
        validation = _held_out(f"{name}: validation", source.validation, names, rules.limit)
    elif rules.val_fraction > 0:
        train, validation = _split(name, train, names, rules)
    noisy = with_noise(train.labels, len(names), rules.label_noise, rules.seed)
    test = _held_out(f"{name}: test", source.test, names, rules.limit)
    notes = _unmeasured(validation, names) + _noise_notes(
        train.labels, noisy, validation is not None
    )
    source = replace(source, notes=source.notes + tuple(notes))
    return replace(source, train=replace(train, labels=noisy), validation=validation, test=test)


def quotas(labels: np.ndarray, count: int) -> np.ndarray:
    """(K,) numbers of images of each class in `count` of them; shares are kept to within one."""
    sizes = np.bincount(labels)
    quota, rest = np.divmod(sizes * count, len(labels))
    quota[np.argsort(-rest, kind="stable")[: count - quota.sum()]] += 1
    return quota


def stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sorted positions of `count` random images; class shares are kept to within one image.

    Not scikit-learn's version: stored results, compared for years, depend on this draw, and any
    count must work.
    """
    sizes, quota = np.bincount(labels), quotas(labels, count)
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


def _noise_notes(labels: np.ndarray, noisy: np.ndarray, validated: bool) -> list[str]:
    """The line on which labels are noisy, if any are."""
    changed = int((labels != noisy).sum())
    if not changed:
        return []
    clean = "validation and test labels stay" if validated else "test labels stay"
    chosen = ", and the best epoch is chosen with clean labels" if validated else ""
    return [
        f"{changed:,} of {len(labels):,} training labels are replaced (dataset.label_noise); "
        f"{clean} clean{chosen}"
    ]


def _unmeasured(validation: Images | Files | None, class_names: Sequence[str]) -> list[str]:
    """The line on classes without a validation image, which a small share may leave."""
    if validation is None:
        return []
    counts = np.bincount(validation.labels, minlength=len(class_names))
    without = [f"'{class_names[place]}'" for place in np.flatnonzero(counts == 0).tolist()]
    if not without:
        return []
    return [
        f"no validation image of {len(without):,} of {len(class_names):,} classes "
        f"({some_of(without, 3)}): the best epoch is chosen without them; add images, or raise "
        "dataset.val_fraction"
    ]


def _limited(part: Part, limit: int | None, generator: np.random.Generator) -> Part:
    if limit is None or limit >= len(part.labels):
        return part
    return part.take(stratified(part.labels, limit, generator))


def _held_out(what: str, part: Part, class_names: Sequence[str], limit: int | None) -> Part:
    """The part, or `limit` images of it, independent of the run's seed."""
    kept = _limited(part, limit, host_generator(0, RandomStream.HELD_OUT))
    check_classes(f"{what} images", kept.labels, class_names, limit=limit)
    return kept


def _split(
    name: str, part: Part, class_names: Sequence[str], rules: SplitOptions
) -> tuple[Part, Part]:
    """Split into training and held-out images.

    Raises:
        DataError: too few images for a split that leaves every class an image.
    """
    labels = part.labels
    count = round(rules.val_fraction * len(labels))
    if not _splits(labels, count):
        raise DataError(f"{name}: {_unsplittable(labels, class_names, rules)}")
    held_out = stratified(labels, count, host_generator(rules.seed, RandomStream.VALIDATION))
    kept = np.delete(np.arange(len(labels)), held_out)
    return part.take(kept), part.take(held_out)


def _splits(labels: np.ndarray, count: int) -> bool:
    """Whether `count` images can be held out: one per class, with one of each class left."""
    sizes = np.bincount(labels)
    return count >= len(sizes) and bool((quotas(labels, count) < sizes).all())


def _unsplittable(labels: np.ndarray, class_names: Sequence[str], rules: SplitOptions) -> str:
    """The reason why no validation images can be taken, with the settings that work."""
    sizes, classes = np.bincount(labels), len(class_names)
    count, least = round(rules.val_fraction * len(labels)), int(sizes.min())
    shares = [number / 100 for number in range(1, 100)]
    good = [share for share in shares if _splits(labels, round(share * len(labels)))]
    near = min(good, key=lambda share: abs(share - rules.val_fraction), default=None)
    remedies = [] if near is None else [f"set dataset.val_fraction={near:g}"]
    remedies += [] if rules.limit is None else [f"raise dataset.limit={rules.limit}"]
    remedies += ["add images or a validation part", "set dataset.val_fraction=0"]
    return (
        f"dataset.val_fraction={rules.val_fraction:g} makes {len(labels) - count} training and "
        f"{count} validation images, too few for {classes} classes (class "
        f"'{class_names[int(sizes.argmin())]}' has {least}); {', or '.join(remedies)}"
    )
