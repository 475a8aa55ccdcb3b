"""Runs that were trained, or chosen, on other images than those they stand beside."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kdrun.report.seeds_table import SEED
from kdrun.report.tested_images import COMMON, IMAGES, named
from kdrun.store.correct_images import CorrectImages

Row = Mapping[str, Any]

TRAINING, VALIDATION = "training images", "validation images"
"""Names of the settings of a sweep's jobs that say which images are not the common ones."""

HASHES = {TRAINING: "train_hash", VALIDATION: "validation_hash"}


def validation_hash(correct: CorrectImages, place: int) -> str | None:
    """Hash of the validation images of a stage; None where the run does not hold it."""
    one = correct.get(place, {}).get("validation")
    return (one.source or None) if one else None


def training_hash(stages: Sequence[Mapping[str, Any]], seed: int | None) -> str | None:
    """Fingerprint of the images and splits that the stages of a seed were trained on.

    Args:
        stages: of the run's plan.
        seed: of the stages; None in a run of one.
    """
    of_seed = (stage for stage in stages if stage.get("seed") == seed)
    return next((stage["identity"].get("data") for stage in of_seed), None)


def apart(rows: Sequence[Row], name: str, group: Callable[[Row], Any]) -> list[bool]:
    """Whether the hash of each row is known and not that of most rows of its group."""
    counted: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row[name] is not None:
            counted[group(row)][row[name]] += 1
    common = {key: hashes.most_common(1)[0][0] for key, hashes in counted.items()}
    return [row[name] is not None and row[name] != common[group(row)] for row in rows]


def same_training(row: Row) -> Any:
    """What two rows agree in that say nothing of images but were trained on the same ones.

    The validation split is drawn by the seed, so that each seed has training images of its own.
    """
    data = {key: one for key, one in row["settings"].items() if key.split(".")[0] == "dataset"}
    return row["dataset"], row["settings"].get(SEED), tuple(sorted(data.items()))


def same_pool(row: Row) -> Any:
    """What two rows agree in that drew their training images from the same ones."""
    dataset, _, data = same_training(row)
    return dataset, data


def trained_apart(rows: Sequence[Row]) -> list[bool]:
    """Whether each row was trained on other images than most rows that say nothing of it."""
    drawn, trained = apart(rows, "pool", same_pool), apart(rows, HASHES[TRAINING], same_training)
    return [one or other for one, other in zip(drawn, trained, strict=True)]


def same_validation(row: Row) -> Any:
    """What rows agree in whose validation accuracies are put in order."""
    return row["dataset"], row["settings"].get(SEED)


TRAINED = (
    "not trained on the images of the others, so neither averaged, paired nor ranked with them"
)
CHOSEN = "other validation images than the others, so listed after them and not ranked with them"


def separate_trained(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Give runs that were trained on other images a data set of their own; returns lines on them.

    All rows of a run go with one, as they are of the same data.

    Args:
        rows: of a comparison, with the settings that differ between them.
    """
    flags = trained_apart(rows)
    runs = {row["run"] for row, flag in zip(rows, flags, strict=True) if flag}
    for row in (row for row in rows if row["run"] in runs):
        row["dataset"] += f" (other {TRAINING})"
        row["tested_on"] = f"{row['tested_on']}, other {TRAINING}".lstrip(", ")
    return [f"{TRAINED}: {named(sorted(runs))}"] if runs else []


def mark_chosen(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    """Set `chosen_apart` of rows that were chosen on other validation images; lines on them.

    Args:
        rows: of a comparison, or jobs of a sweep.
        name: of the key that names a row.
    """
    for row, flag in zip(rows, apart(rows, HASHES[VALIDATION], same_validation), strict=True):
        row["chosen_apart"] = flag
    found = [row[name] for row in rows if row["chosen_apart"]]
    return [f"{CHOSEN}: {named(found)}"] if found else []


def mark_jobs(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """Make training images a setting of a sweep's jobs where they differ; returns lines.

    Validation images are marked, as the seeds of a setting have their own.
    """
    done = [{**job, "job": f"job {job['job']}"} for job in jobs if job["images"] is not None]
    flags = trained_apart(done)
    lines = mark_chosen(done, "job")
    places = (place for place, job in enumerate(jobs) if job["images"] is not None)
    for place, one, flag in zip(places, done, flags, strict=True):
        jobs[place]["chosen_apart"] = one["chosen_apart"]
        if any(flags):
            label = f"other {TRAINING}" if flag else COMMON
            jobs[place]["settings"] = {**jobs[place]["settings"], TRAINING: label}
    trained = [one["job"] for one, flag in zip(done, flags, strict=True) if flag]
    return [*([f"{TRAINED}: {named(trained)}"] if trained else []), *lines]


def common_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in their order, those of the common images first."""

    def order(row: Mapping[str, Any]) -> tuple[Any, ...]:
        labels = (row["settings"].get(name, COMMON) for name in (IMAGES, TRAINING))
        return *((label != COMMON, label) for label in labels), row.get("chosen_apart", False)

    return sorted(rows, key=order)
