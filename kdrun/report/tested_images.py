"""Detection of runs with different test images in a comparison, by their hashes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kdrun.escaping import printable
from kdrun.store.correct_images import CorrectImages

Row = Mapping[str, Any]
Kind = tuple[int, str | None]
"""Number of test images, and their hash if known."""

OTHER, UNKNOWN = "other images", "unknown images"
MOST_NAMED = 6


def images_hash(correct: CorrectImages, place: int, split: str) -> str | None:
    """Hash of the images of a split that a stage was evaluated on; None if not recorded."""
    one = correct.get(place, {}).get(split)
    return (one.source or None) if one else None


def image_labels(rows: Sequence[Row]) -> list[str]:
    """Return one label per row: empty for the commonest test images of its data set.

    A row without a hash counts as the only known images of the same number.

    Args:
        rows: with `dataset`, `images` (their number) and `test_hash`.
    """
    by_dataset: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_dataset[row["dataset"]].append(row)
    labels = {name: _labels(members) for name, members in by_dataset.items()}
    return [labels[row["dataset"]][_own_kind(row)] for row in rows]


def _own_kind(row: Row) -> Kind:
    return row["images"], row["test_hash"]


def _labels(rows: Sequence[Row]) -> dict[Kind, str]:
    counted = Counter(map(_own_kind, rows))
    known = [kind for kind in counted if kind[1] is not None]
    order = sorted(counted, key=lambda kind: (kind[1] is None, -counted[kind]))
    found = {
        kind: _label(place, bool(known) and kind[1] is None) for place, kind in enumerate(order)
    }
    if len(known) == 1:
        found |= dict.fromkeys([kind for kind in order if kind[0] == known[0][0]], "")
    return found


def _label(place: int, unknown: bool) -> str:
    if place == 0:
        return ""
    return f"{UNKNOWN if unknown else OTHER}{f' {place}' if place > 1 else ''}"


def image_notes(rows: Sequence[Row], labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Notes on rows with different or unknown test images."""
    lines = []
    apart = [name for name, label in zip(names, labels, strict=True) if label]
    if apart:
        lines.append(
            "tested on different images than the rest, so not averaged, paired or ranked with "
            f"them: {named(apart)}"
        )
    several = Counter(row["dataset"] for row in rows)
    unknown = [
        name
        for name, label, row in zip(names, labels, rows, strict=True)
        if not label and row["test_hash"] is None and several[row["dataset"]] > 1
    ]
    if unknown:
        lines.append(f"test images unknown, assumed to be the same: {named(unknown)}")
    return lines


def named(names: Sequence[str]) -> str:
    """The first names, each once, in one line."""
    once = list(dict.fromkeys(map(printable, names)))
    return ", ".join([*once[:MOST_NAMED], *(["..."] if len(once) > MOST_NAMED else [])])


def separate(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rename the data set of rows with different test images, and return notes on them."""
    labels = image_labels(rows)
    lines = image_notes(rows, labels, [row["run"] for row in rows])
    for row, label in zip(rows, labels, strict=True):
        row["dataset"] += f" ({label})" if label else ""
        row["tested_on"] = label
    return lines


IMAGES, COMMON = "test images", "common"


def separate_jobs(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """Make test images a setting of a sweep's jobs if they differ, and return notes on them."""
    done = [job for job in jobs if job["images"] is not None]
    labels = image_labels(done)
    if any(labels):
        for job, label in zip(done, labels, strict=True):
            job["settings"] = {**job["settings"], IMAGES: label or COMMON}
    return image_notes(done, labels, [f"job {job['job']}" for job in done])
