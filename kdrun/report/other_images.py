"""Detection of runs with different training or validation images in a comparison."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kdrun.report.seeds_table import SEED
from kdrun.report.tested_images import COMMON, IMAGES, named

Row = Mapping[str, Any]

TRAINING, VALIDATION = "training images", "validation images"
"""Names of the settings of a sweep's jobs that mark different images."""

HASHES = {TRAINING: "train_hash", VALIDATION: "validation_hash"}


def training_hash(stages: Sequence[Mapping[str, Any]], seed: int | None) -> str | None:
    """Fingerprint of the images and splits of a seed's stages.

    Args:
        stages: of the run's plan.
        seed: of the stages; None in a run of one seed.
    """
    of_seed = (stage for stage in stages if stage.get("seed") == seed)
    return next((stage["identity"].get("data") for stage in of_seed), None)


def unlike_most(rows: Sequence[Row], name: str, group: Callable[[Row], Any]) -> list[bool]:
    """Whether each row's hash is known and differs from the commonest in its group."""
    counted: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row[name] is not None:
            counted[group(row)][row[name]] += 1
    common = {key: hashes.most_common(1)[0][0] for key, hashes in counted.items()}
    return [row[name] is not None and row[name] != common[group(row)] for row in rows]


def same_training(row: Row) -> Any:
    """Grouping key of rows with the same training images: data set, seed and data settings.

    The seed draws the validation split, so each seed has its own training images.
    """
    data = {key: one for key, one in row["settings"].items() if key.split(".")[0] == "dataset"}
    return row["dataset"], row["settings"].get(SEED), tuple(sorted(data.items()))


def same_pool(row: Row) -> Any:
    """Grouping key of rows with the same pool of training images, for any seed."""
    dataset, _, data = same_training(row)
    return dataset, data


def trained_apart(rows: Sequence[Row]) -> list[bool]:
    """Whether each row was trained on different images than most rows of equal settings."""
    drawn = unlike_most(rows, "pool", same_pool)
    trained = unlike_most(rows, HASHES[TRAINING], same_training)
    return [one or other for one, other in zip(drawn, trained, strict=True)]


def same_validation(row: Row) -> Any:
    """Grouping key of rows that are ranked by validation accuracy together."""
    return row["dataset"], row["settings"].get(SEED)


TRAINED = "trained on different images than the rest, so not averaged, paired or ranked with them"
CHOSEN = "different validation images than the rest, so listed last and not ranked with them"


def separate_trained(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rename the data set of runs with different training images, and return notes on them.

    All rows of a run change together, because they share the data.

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
    """Set `chosen_apart` on rows with different validation images, and return notes on them.

    Args:
        rows: of a comparison, or jobs of a sweep.
        name: of the key that names a row.
    """
    flags = unlike_most(rows, HASHES[VALIDATION], same_validation)
    for row, flag in zip(rows, flags, strict=True):
        row["chosen_apart"] = flag
    found = [row[name] for row in rows if row["chosen_apart"]]
    return [f"{CHOSEN}: {named(found)}"] if found else []


def mark_jobs(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """Make training images a setting of a sweep's jobs if they differ, and return notes.

    Validation images are only marked, because each seed of a setting has its own.
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
    """Sort rows with the common images first, otherwise keeping their order."""

    def order(row: Mapping[str, Any]) -> tuple[Any, ...]:
        labels = (row["settings"].get(name, COMMON) for name in (IMAGES, TRAINING))
        return *((label != COMMON, label) for label in labels), row.get("chosen_apart", False)

    return sorted(rows, key=order)
