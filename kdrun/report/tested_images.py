"""Runs that were tested on other images, by the hashes of these."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kdrun.escaping import printable
from kdrun.store.correct_images import CorrectImages

Row = Mapping[str, Any]
Kind = tuple[int, str | None]
"""How many test images, and their hash where it is known."""

OTHER, UNKNOWN = "other images", "unknown images"
MOST_NAMED = 6


def test_hash(correct: CorrectImages, place: int) -> str | None:
    """Hash of the test images of a stage; None where the run does not hold it."""
    one = correct.get(place, {}).get("test")
    return (one.source or None) if one else None


def image_labels(rows: Sequence[Row]) -> list[str]:
    """A label a row: empty for the test images of most rows of its data set.

    A row whose images are not known counts to the only ones known that are as many.

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
    """Lines on the rows of other images, and on those whose images are not known."""
    lines = []
    apart = [name for name, label in zip(names, labels, strict=True) if label]
    if apart:
        lines.append(
            "not tested on the images of the others, so neither averaged, paired nor ranked with "
            f"them: {named(apart)}"
        )
    several = Counter(row["dataset"] for row in rows)
    unknown = [
        name
        for name, label, row in zip(names, labels, rows, strict=True)
        if not label and row["test_hash"] is None and several[row["dataset"]] > 1
    ]
    if unknown:
        lines.append(
            f"which images were tested on is unknown, taken for the same: {named(unknown)}"
        )
    return lines


def named(names: Sequence[str]) -> str:
    """The first of the names, each once."""
    once = list(dict.fromkeys(map(printable, names)))
    return ", ".join([*once[:MOST_NAMED], *(["..."] if len(once) > MOST_NAMED else [])])


def separate(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Give rows of other test images a data set of their own; returns lines on them."""
    labels = image_labels(rows)
    lines = image_notes(rows, labels, [row["run"] for row in rows])
    for row, label in zip(rows, labels, strict=True):
        row["dataset"] += f" ({label})" if label else ""
        row["tested_on"] = label
    return lines


IMAGES, COMMON = "test images", "common"


def separate_jobs(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """Make the test images a setting of a sweep's jobs where they differ; returns lines on them."""
    done = [job for job in jobs if job["images"] is not None]
    labels = image_labels(done)
    if any(labels):
        for job, label in zip(done, labels, strict=True):
            job["settings"] = {**job["settings"], IMAGES: label or COMMON}
    return image_notes(done, labels, [f"job {job['job']}" for job in done])
