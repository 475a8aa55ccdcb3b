"""Several runs side by side: means over seeds and paired differences with their intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from omegaconf import OmegaConf

from kdrun.errors import ConfigError, DamagedError
from kdrun.files import read_json, read_sealed, read_yaml
from kdrun.gains import PairedGain, paired_gain
from kdrun.report.run_files import MALFORMED, RunFiles, read_run_files, student_place
from kdrun.run_folder import CONFIG, OVERRIDES, PLAN, STATUS, SUMMARY
from kdrun.seeds import SEED
from kdrun.stage_groups import places, result_of
from kdrun.sweep_jobs import SWEEP, listed_jobs

UNTOLD = (
    *("output_root", "analysis", "logger", "train.device", "train.workers", "hydra.run.dir"),
    "seeds",  # each of them has a row
)
"""Settings that do not tell one result from another."""

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
    return {
        "format": 1,
        "varied": varied,
        "runs": sorted(rows, key=lambda row: -row["choice"]),
        "settings": setting_rows(rows, varied),
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
        return {"run": folder.name, "status": "not begun", "error": ""}
    try:
        status = read_json(folder / STATUS)
        return {
            "run": folder.name,
            "status": str(status["status"]),
            "error": str(status.get("error", {}).get("message", "")),
        }
    except (DamagedError, *MALFORMED):
        return {"run": folder.name, "status": "missing", "error": ""}


def run_rows(folder: Path) -> list[Row]:
    """A row for each student of a finished run, or for each seed's last generation.

    Raises:
        DamagedError: its files are not as kdrun writes them.
    """
    files = read_run_files(folder)
    try:
        plan = read_sealed(folder / PLAN)["stages"]
        settings = told_settings(folder)
        found = places(files.summary, result_of(files.summary)) or [student_place(files.summary)]
        return [student_row(files, plan, place, settings) for place in found]
    except MALFORMED as error:
        raise DamagedError(f"{folder}: its files are not of this kdrun ({error!r})") from error


def told_settings(folder: Path) -> dict[str, str]:
    """The overrides of a run that bear on its result."""
    lines = map(str, read_yaml(folder / OVERRIDES) or [])
    pairs = (line.partition("=") for line in lines)
    return {key.lstrip("+"): value for key, _, value in pairs if key.lstrip("+") not in UNTOLD}


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
    best = accuracy["best_validation"]
    return {
        "run": files.folder.name,
        "dataset": str(files.summary["dataset"]),
        "arch": str(student["arch"]),
        "config": files.config,
        "settings": {**settings, SEED: str(seed)},
        "choice": float(accuracy["train"] if best is None else best),
        "validation": best,
        "test": float(accuracy["test_at_best_validation"]),
        "control": _test_of(control),
        "teacher": _test_of(teachers[0]) if teachers else None,
        "images": int(files.summary["test_images"]),
        "parameters": int(student["parameters"]),
        "macs": int(student["macs"]),
        "latency_ms": measured.get("latency", {}).get("median_ms"),
    }


def _test_of(stage: Mapping[str, Any] | None) -> float | None:
    return None if stage is None else float(stage["accuracy"]["test_at_best_validation"])


def fill_settings(rows: Sequence[Row]) -> list[str]:
    """Give each row a value of every setting that differs between rows; returns those settings."""
    names = dict.fromkeys(name for row in rows for name in row["settings"])
    for row in rows:
        config = row.pop("config")
        told = row["settings"]
        row["settings"] = {
            name: told[name] if name == SEED else setting(config, name, told.get(name))
            for name in names
        }
    varied = [name for name in names if len({row["settings"][name] for row in rows}) > 1]
    for row in rows:
        row["settings"] = {name: row["settings"][name] for name in varied}
    return varied


GROUPS = {
    **{"teacher": "arch", "student": "arch", "dataset": "name"},
    **{"chain": "method", "temperature": "schedule"},
}
"""Groups by what names the one that was chosen."""


def setting(config: Any, name: str, told: str | None) -> str:
    """What a setting is: its value in the run's config; of a group the name that was told.

    A run that was resumed with another value was told the former one.
    """
    unchained = configured(config, "chain") == "none"
    if unchained and name.startswith("chain.") and name != "chain.control":
        return "-"
    value = configured(config, name)
    return (told or "-") if value == "-" else value


def configured(config: Any, name: str) -> str:
    """A value of the config as it is written on the command line; of a group what names it."""
    value = config
    for part in name.split("."):
        value = value.get(part) if OmegaConf.is_dict(value) else None
    if OmegaConf.is_dict(value):
        value = value.get(GROUPS.get(name, ""))
    if OmegaConf.is_list(value):
        return f"[{','.join(map(str, value))}]"  # as it is written on the command line
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def setting_rows(rows: Sequence[Row], varied: Sequence[str]) -> list[Row]:
    """Runs that differ in the seed alone as one row; best mean validation accuracy first.

    `gain` is over the control of the same seed, `difference` to the first row at the seeds that
    both have; each with its confidence interval by Student's t.
    """
    groups: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        key = tuple(row["settings"][name] for name in varied if name != SEED)
        groups[key][row["settings"].get(SEED, "0")] = row
    ordered = sorted(groups.values(), key=lambda g: -mean(row["choice"] for row in g.values()))
    return [_setting(group, ordered[0]) for group in ordered]


def _setting(group: Mapping[str, Row], first: Mapping[str, Row]) -> Row:
    members = list(group.values())
    tests = [row["test"] for row in members]
    controls = [row["control"] for row in members]
    gain = None if None in controls else paired_gain(tests, controls, members[0]["images"])
    common = [seed for seed in group if seed in first]
    difference = None
    if group is not first and common:
        ours, theirs = ([side[seed]["test"] for seed in common] for side in (group, first))
        difference = paired_gain(ours, theirs, members[0]["images"])
    latencies = [row["latency_ms"] for row in members]
    return {
        "settings": {k: v for k, v in members[0]["settings"].items() if k != SEED},
        "arch": members[0]["arch"],
        "dataset": members[0]["dataset"],
        "seeds": len(members),
        "validation": mean(row["choice"] for row in members),
        "test": mean(tests),
        "deviation": stdev(tests) if len(tests) > 1 else None,
        "gain": gain and gain.mean,
        "gain_half_width": gain and half_width(gain),
        "difference": difference and difference.mean,
        "difference_half_width": difference and half_width(difference),
        "teacher": members[0]["teacher"],
        "parameters": members[0]["parameters"],
        "macs": members[0]["macs"],
        "latency_ms": None if None in latencies else mean(latencies),
    }


def half_width(gain: PairedGain) -> float | None:
    """Of the confidence interval: Student's t over the seeds; of one seed the normal one."""
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    if gain.error is None:
        return None
    degrees = gain.seeds - 1 if gain.seeds > 1 else 1e9
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * gain.error
