"""Comparison of several runs: means over seeds, paired differences, intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from kdrun.errors import ConfigError, DamagedError
from kdrun.report.paired_gain import PairedGain, paired_gain
from kdrun.report.run_files import MALFORMED, RunFiles, read_run_files
from kdrun.report.run_settings import fill_settings, told_settings
from kdrun.report.seeds_table import SEED
from kdrun.store.formats import PLAN as PLAN_SHAPE
from kdrun.store.run_folder import CONFIG, OVERRIDES, PLAN, SUMMARY, read_status
from kdrun.store.shapes import read_shaped
from kdrun.store.summary import mean_of, places, rank, result_of, student_place
from kdrun.store.sweep_folder import SWEEP, listed_jobs

CONFIDENCE = 0.95

Row = dict[str, Any]


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """What the runs, and the jobs of the sweeps, came to; JSON data.

    Raises:
        ConfigError: a folder holds neither, or nothing is finished.
        DamagedError: a file is not as kdrun writes it.
    """
    found = [job for folder in folders for job in run_folders(folder)]
    done = [folder for folder in found if (folder / SUMMARY).exists()]
    if not done:
        raise ConfigError(f"{', '.join(map(str, folders))}: no finished run to report")
    rows = [row for folder in done for row in run_rows(folder)]
    varied = fill_settings(rows)
    kept, repeated = without_repeats(rows, varied)
    return {
        "format": 1,
        "varied": varied,
        "runs": sorted(rows, key=lambda row: rank(row["validation"], row["train"])),
        "settings": setting_rows(kept, varied),
        "repeated": repeated,
        "unfinished": [unfinished(folder) for folder in found if folder not in done],
    }


def run_folders(folder: Path) -> list[Path]:
    """The run itself, or the jobs of a sweep in order, those that were not begun among them."""
    if not (folder / SWEEP).exists():
        if not (folder / CONFIG).exists():
            raise ConfigError(f"{folder}: no run or sweep of kdrun")
        return [folder]
    begun = {path.parent.name for path in folder.glob(f"*/{OVERRIDES}")}
    return [
        folder / name
        for name in sorted(begun | set(listed_jobs(folder) or ()), key=lambda name: name.zfill(9))
    ]


def unfinished(folder: Path) -> dict[str, str]:
    """Why a job has no result."""
    if not folder.exists():
        return {"run": str(folder), "status": "not begun", "error": ""}
    try:
        status = read_status(folder)
        return {
            "run": str(folder),
            "status": str(status["status"]),
            "error": str(status.get("error", {}).get("message", "")),
        }
    except DamagedError:
        return {"run": str(folder), "status": "missing", "error": ""}


def run_rows(folder: Path) -> list[Row]:
    """A row for each student of a finished run, or for each seed's last generation.

    Raises:
        DamagedError: its files are not as kdrun writes them.
    """
    files = read_run_files(folder)
    try:
        plan = read_shaped(folder / PLAN, PLAN_SHAPE)["stages"]
        settings = told_settings(folder)
        found = places(files.summary, result_of(files.summary)) or [student_place(files.summary)]
        return [student_row(files, plan, place, settings) for place in found]
    except MALFORMED as error:
        raise DamagedError(f"{folder}: its files are not of this kdrun ({error!r})") from error


def student_row(files: RunFiles, plan: Any, place: int, settings: Mapping[str, str]) -> Row:
    """A student's accuracies beside its control's and its teacher's, and its sizes."""
    stages = files.summary["stages"]
    student = stages[place]
    seed = student.get("seed", files.summary["seed"])
    controls = (
        stage
        for stage in stages
        if stage["role"] == "control" and stage.get("seed") == student.get("seed")
    )
    control = next(controls, None)
    teachers = [stages[number] for number in plan[place]["teachers"]]
    measured = files.analysis["models"][place] if files.analysis else {}
    accuracy = student["accuracy"]
    return {
        "run": str(files.folder),
        "dataset": str(files.summary["dataset"]),
        "arch": str(student["arch"]),
        "config": files.config,
        "settings": {**settings, SEED: str(seed)},
        "train": accuracy["train"],
        "validation": accuracy["best_validation"],
        "test": float(accuracy["test_at_best_validation"]),
        "control": _test_of(control),
        "teacher": _test_of(teachers[0]) if teachers else None,
        "images": int(files.summary["test_images"]),
        "parameters": int(student["parameters"]),
        "macs": int(student["macs"]),
        "latency_ms": measured.get("latency", {}).get("median_ms"),
        "threads": measured.get("latency", {}).get("threads"),
    }


def _test_of(stage: Mapping[str, Any] | None) -> float | None:
    return None if stage is None else float(stage["accuracy"]["test_at_best_validation"])


def without_repeats(
    rows: Sequence[Row], varied: Sequence[str]
) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows without those of the settings and seed of an earlier one; and which these are."""
    kept: dict[tuple[str, ...], Row] = {}
    repeated = []
    for row in rows:
        first = kept.setdefault(tuple(row["settings"][name] for name in varied), row)
        if first is not row:
            equal = first["test"] == row["test"]
            repeated.append({"run": row["run"], "of": first["run"], "equal": equal})
    return list(kept.values()), repeated


def setting_rows(rows: Sequence[Row], varied: Sequence[str]) -> list[Row]:
    """Runs that differ in the seed alone as one row; best mean validation accuracy first.

    Data sets one after the other. `gain` is over the control of the same seed, `difference` to the
    first row of the data set at the seeds that both have; each with its confidence interval by
    Student's t.
    """
    groups: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        key = tuple(row["settings"][name] for name in varied if name != SEED)
        groups[key][row["settings"].get(SEED, "0")] = row
    latencies = latency_of_networks(rows)
    found: dict[str, list[Row]] = defaultdict(list)
    firsts: dict[str, Mapping[str, Row]] = {}
    for group in sorted(groups.values(), key=_rank_of):
        one = next(iter(group.values()))
        first = firsts.setdefault(one["dataset"], group)
        found[one["dataset"]].append(_setting(group, first, latencies[_network(one)]))
    return [row for dataset in found.values() for row in dataset]


def _rank_of(group: Mapping[str, Row]) -> tuple[bool, float]:
    rows = group.values()
    return rank(mean_of(rows, "validation"), mean_of(rows, "train"))


def latency_of_networks(rows: Sequence[Row]) -> dict[tuple[Any, ...], float | None]:
    """The median over all runs of a network; that one takes another time in each is noise."""
    found: dict[tuple[Any, ...], list[float | None]] = defaultdict(list)
    for row in rows:
        found[_network(row)].append(row["latency_ms"])
    return {
        network: None if None in times else median(t for t in times if t is not None)
        for network, times in found.items()
    }


def _network(row: Row) -> tuple[Any, ...]:
    return row["dataset"], row["arch"], row["parameters"], row["macs"], row["threads"]


def _setting(group: Mapping[str, Row], first: Mapping[str, Row], latency: float | None) -> Row:
    members = list(group.values())
    tests = [row["test"] for row in members]
    controls = [row["control"] for row in members]
    gain = None if None in controls else paired_gain(tests, controls, members[0]["images"])
    common = [seed for seed in group if seed in first]
    difference = None
    if group is not first and common:
        ours, theirs = ([side[seed]["test"] for seed in common] for side in (group, first))
        difference = paired_gain(ours, theirs, members[0]["images"])
    return {
        "settings": {k: v for k, v in members[0]["settings"].items() if k != SEED},
        "arch": members[0]["arch"],
        "dataset": members[0]["dataset"],
        "seeds": len(members),
        "train": mean_of(members, "train"),
        "validation": mean_of(members, "validation"),
        "test": mean(tests),
        "deviation": stdev(tests) if len(tests) > 1 else None,
        "gain": gain and gain.mean,
        "gain_half_width": gain and half_width(gain),
        "difference": difference and difference.mean,
        "difference_half_width": difference and half_width(difference),
        "teacher": members[0]["teacher"],
        "parameters": members[0]["parameters"],
        "macs": members[0]["macs"],
        "latency_ms": latency,
        "threads": members[0]["threads"],
    }


def half_width(gain: PairedGain) -> float | None:
    """Of the confidence interval: Student's t over the seeds; of one seed the normal one."""
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    if gain.error is None:
        return None
    degrees = gain.seeds - 1 if gain.seeds > 1 else 1e9
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * gain.error
