"""Rows of a comparison: runs that differ only in the seed, with paired differences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean, median, stdev
from typing import Any

from kdrun.report.gains import discordant
from kdrun.report.paired_gain import PairedGain, paired_gain
from kdrun.report.seeds_table import SEED, rank_of
from kdrun.report.shown_settings import shown_settings
from kdrun.report.ties import Score, adjusted, scores_gain, ties_with_best, ties_words
from kdrun.store.correct_images import same_images
from kdrun.store.summary import mean_of

Row = dict[str, Any]


def setting_rows(
    rows: Sequence[Row], varied: Sequence[str]
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Merge runs that differ only in the seed into one row each, best validation accuracy first.

    Rows are grouped by data set; those with different validation images come last. `gain` is the
    test gain over the control of the same seed, `difference` the validation difference to the
    first row of the data set at the common seeds, each as in the `gains` of a run, with `holm`, its
    p adjusted for the number of rows; `shared_seeds` is the number of common seeds, if one side
    has more.

    Returns:
        The rows, and for each data set the ties with its first row.
    """
    groups: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        key = (row["dataset"], *(row["settings"][name] for name in varied if name != SEED))
        groups[key][row["settings"].get(SEED, "0")] = row
    latencies = latency_of_networks(rows)
    of_dataset: dict[str, list[Mapping[str, Row]]] = defaultdict(list)
    for group in sorted(groups.values(), key=_rank_of):
        of_dataset[next(iter(group.values()))["dataset"]].append(group)
    found, ties = [], []
    for dataset, members in of_dataset.items():
        settings = [
            _setting(group, latencies[_network(next(iter(group.values())))]) for group in members
        ]
        add_gains(settings, members)
        found += settings
        ties += [tie | {"dataset": dataset} for tie in ties_of(settings, members)]
    return found, ties


def add_gains(settings: Sequence[Row], groups: Sequence[Mapping[str, Row]]) -> None:
    """Set `gain` and `difference` of the rows of one data set."""
    gains = {
        "gain": [control_gain(list(group.values())) for group in groups],
        "difference": [None, *(first_gain(group, groups[0]) for group in groups[1:])],
    }
    for name, column in gains.items():
        values = adjusted(column, len(settings))
        for row, gain, p in zip(settings, column, values, strict=True):
            holm = p if gain is not None and p != gain.p else None
            row[name] = gain and asdict(gain) | {"holm": holm}
    for row, gain in zip(settings, gains["difference"], strict=True):
        fewer = gain is not None and gain.seeds < max(row["seeds"], settings[0]["seeds"])
        row["shared_seeds"] = gain.seeds if gain and fewer else None


def control_gain(members: Sequence[Row]) -> PairedGain | None:
    """Gain of test accuracy over the controls of the same seeds and images.

    None if a control is missing or has different test images.
    """
    controls = [row["control"] for row in members]
    sides = [[side.get("test") for side in row["correct"]] for row in members]
    if None in controls or any(same_images(*pair) is False for pair in sides):
        return None
    ours, theirs = sides[0]
    return paired_gain([row["test"] for row in members], controls, discordant(ours, theirs))


def first_gain(group: Mapping[str, Row], first: Mapping[str, Row]) -> PairedGain | None:
    """Paired difference to the first setting on validation."""
    return scores_gain(scores(group), scores(first))


def scores(group: Mapping[str, Row]) -> dict[str, Score]:
    """Validation scores of a setting by seed; empty without validation images."""
    return {
        seed: Score(row["validation"], row["correct"][0].get("validation"))
        for seed, row in group.items()
        if row["validation"] is not None
    }


def ties_of(settings: Sequence[Row], groups: Sequence[Mapping[str, Row]]) -> list[dict[str, Any]]:
    """Ties with the first setting; [] if nothing can be compared."""
    if len(settings) < 2 or settings[0]["validation"] is None:
        return []
    ties = ties_with_best([scores(group) for group in groups])
    names = [
        ", ".join(f"{k}={v}" for k, v in row["settings"].items()) or row["arch"]
        for row in shown_settings(settings)
    ]
    tied = [settings[place]["settings"] for place in ties.tied]
    counts = {"untested": len(ties.untested), "unknown": len(ties.unknown)}
    return [{"tied": tied, **counts, "words": ties_words(ties, names)}]


def _rank_of(group: Mapping[str, Row]) -> tuple[Any, ...]:
    names = ("validation", "train", "validation_loss")
    other = any(row["chosen_apart"] for row in group.values())
    return other, *rank_of({name: mean_of(group.values(), name) for name in names})


def latency_of_networks(rows: Sequence[Row]) -> dict[tuple[Any, ...], float | None]:
    """Median latency of each network over all its runs, because differences are noise."""
    found: dict[tuple[Any, ...], list[float | None]] = defaultdict(list)
    for row in rows:
        found[_network(row)].append(row["latency_ms"])
    return {
        network: None if None in times else median(t for t in times if t is not None)
        for network, times in found.items()
    }


def _network(row: Row) -> tuple[Any, ...]:
    return row["dataset"], row["arch"], row["parameters"], row["macs"], row["threads"]


def _setting(group: Mapping[str, Row], latency: float | None) -> Row:
    members = list(group.values())
    tests = [row["test"] for row in members]
    return {
        "settings": {k: v for k, v in members[0]["settings"].items() if k != SEED},
        "arch": members[0]["arch"],
        "dataset": members[0]["dataset"],
        "tested_on": members[0]["tested_on"],
        "seeds": len(members),
        "train": mean_of(members, "train"),
        "validation": mean_of(members, "validation"),
        "test": mean(tests),
        "deviation": stdev(tests) if len(tests) > 1 else None,
        "gain": None,
        "difference": None,
        "shared_seeds": None,
        "teacher": members[0]["teacher"],
        "parameters": members[0]["parameters"],
        "macs": members[0]["macs"],
        "latency_ms": latency,
        "threads": members[0]["threads"],
    }
