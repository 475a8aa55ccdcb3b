"""Choice of T from the teacher's entropy: guideline and closed-form formula."""

import math
import warnings
from collections.abc import Iterable, Sequence

CONFIDENT_BELOW = 0.1
"""Share of the maximum entropy up to which a teacher counts as confident."""

NOISY_FROM = 0.05
"""Stated share of wrong labels from which a data set counts as noisy."""

CAUTIOUS_T = 2.0
"""T for a teacher with soft targets that show no or wrong class similarities."""

FORMULA_RANGE = (1.0, 20.0)

# What rounding may add to the mean entropy of uniform probabilities.
ENTROPY_TOLERANCE = 1e-4


def entropy_of_counts(counts: Iterable[float]) -> float:
    """Entropy in nats of the label frequencies, from the class counts."""
    numbers = list(counts)
    total = math.fsum(numbers)
    if not (total > 0 and math.isfinite(total) and min(numbers) >= 0):
        raise ValueError(f"counts of labels must be >= 0 and not all 0, got {numbers}")
    shares = [number / total for number in numbers if number > 0]
    return math.fsum(-share * math.log(share) for share in shares)


def normalised_entropy(teacher_entropy: float, num_classes: int) -> float:
    """u = H_p / log K in [0, 1]: the teacher's mean entropy at T = 1 as a share of the maximum.

    ValueError for fewer than 2 classes, or an entropy in nats outside [0, log K].
    """
    if not num_classes >= 2:
        raise ValueError(f"an entropy is a share of log K for K >= 2 classes, got {num_classes}")
    share = teacher_entropy / math.log(num_classes)
    if not 0 <= share <= 1 + ENTROPY_TOLERANCE:
        raise ValueError(
            f"the entropy over {num_classes} classes is in [0, {math.log(num_classes):.6g}] nats, "
            f"got {teacher_entropy}"
        )
    return min(1.0, share)


def optimal_temperature(teacher_entropy: float, label_entropy: float) -> float:
    """sqrt(H_p / H_Y) of the teacher's mean entropy at T = 1 and the labels' entropy, in nats.

    At most 1 for balanced label frequencies, H_Y = log K. ValueError for label_entropy = 0, the
    entropy of one-hot labels given the image: the formula diverges.
    """
    if not (0 <= teacher_entropy < math.inf and 0 <= label_entropy < math.inf):
        raise ValueError(
            "entropies must be finite and at least 0, got "
            f"teacher_entropy={teacher_entropy} and label_entropy={label_entropy}"
        )
    if label_entropy == 0:
        raise ValueError(
            "sqrt(teacher_entropy / label_entropy) diverges at label_entropy=0: one-hot labels "
            "have no entropy given the image; pass the entropy of the label frequencies"
        )
    return math.sqrt(teacher_entropy / label_entropy)


def formula_temperature(teacher_entropy: float, label_entropy: float) -> float:
    """`optimal_temperature` clipped to the trainable range [1, 20]."""
    lowest, highest = FORMULA_RANGE
    return min(highest, max(lowest, optimal_temperature(teacher_entropy, label_entropy)))


def auto_temperature(
    u: float, noisy: bool = False, memorised: bool = False, label_smoothed: bool = False
) -> float:
    """Choose T by the teacher's uncertainty: from 2 at u = 0 over 4 at u = 0.1 to 8 at u = 1.

    Args:
        u: `normalised_entropy` of the teacher, in [0, 1]; ValueError otherwise.
        noisy: some labels are declared wrong: from 8 at u = 0 to 20 at u = 1 instead.
        memorised: the teacher learned the wrong labels too (`memorised_noise`): 2 and a warning if
            `noisy`, else ignored.
        label_smoothed: the teacher was trained on smoothed labels: at most 2 and a warning.
    """
    if not 0 <= u <= 1:
        raise ValueError(f"u, the teacher's entropy as a share of log K, is in [0, 1], got {u}")
    T = _noisy_temperature(u) if noisy else _clean_temperature(u)
    if noisy and memorised:
        warnings.warn(
            f"the teacher memorised the label noise: T={CAUTIOUS_T:g} instead of {T:.3g}, "
            "because a high T would teach the wrong labels",
            stacklevel=2,
        )
        T = CAUTIOUS_T
    if label_smoothed:
        warnings.warn(
            f"the teacher was trained with label smoothing, which erases the similarities of the "
            f"classes that a high T would show: T is at most {CAUTIOUS_T:g}",
            stacklevel=2,
        )
        T = min(T, CAUTIOUS_T)
    return T


def memorised_noise(train_accuracy: float, label_noise: float) -> bool:
    """Whether a teacher fits more training labels than the correct share 1 - label_noise."""
    return train_accuracy > 1 - label_noise + 0.02


def interior_maximum(temperatures: Sequence[float], values: Sequence[float]) -> float | None:
    """The T of the largest value; None if an end of the grid is as good.

    The grid need not be sorted; ties go to the lowest T. ValueError unless every temperature has a
    finite value.
    """
    if len(temperatures) != len(values) or not values or not all(map(math.isfinite, values)):
        raise ValueError(
            "a maximum needs a finite value for each of at least one temperature, got "
            f"temperatures={list(temperatures)} and values={list(values)}"
        )
    highest = max(values)
    best = [T for T, value in zip(temperatures, values, strict=True) if value == highest]
    at_an_end = min(temperatures) in best or max(temperatures) in best
    return None if at_an_end else min(best)


def _clean_temperature(u: float) -> float:
    if u <= CONFIDENT_BELOW:
        return 2 * 2 ** math.sqrt(u / CONFIDENT_BELOW)
    root = math.sqrt(CONFIDENT_BELOW)
    return 4 * 2 ** ((math.sqrt(u) - root) / (1 - root))


def _noisy_temperature(u: float) -> float:
    return 8 * 2.5 ** math.sqrt(u)
