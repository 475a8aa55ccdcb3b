"""Comparison of several runs: results read from their files and grouped by settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DamagedError
from kdrun.report.found_runs import UNREADABLE, Chosen, chosen_runs
from kdrun.report.other_images import (
    mark_chosen,
    separate_trained,
    training_hash,
)
from kdrun.report.run_files import MALFORMED, RunFiles, read_run_files
from kdrun.report.run_settings import fill_settings, result_overrides
from kdrun.report.seeds_table import SEED, rank_of
from kdrun.report.setting_rows import Row, setting_rows
from kdrun.report.sweep_jobs import FOREIGN
from kdrun.report.tested_images import images_hash, separate
from kdrun.store.correct_images import CorrectImages, read_correct
from kdrun.store.formats import PLAN as PLAN_SHAPE
from kdrun.store.run_folder import PLAN, SUMMARY, read_status
from kdrun.store.shapes import read_shaped
from kdrun.store.summary import places, result_of, student_place


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """Results of runs and of sweeps' jobs, as JSON data.

    Raises:
        ConfigError: a folder is no run or sweep, or nothing is finished.
        DamagedError: a file is not as kdrun writes it.
    """
    chosen = chosen_runs(folders)
    finished = [
        run for run in chosen.runs if (run / SUMMARY).exists() and run not in chosen.foreign
    ]
    rows = [row for run in finished for row in chosen_rows(run, chosen)]
    if not rows:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: no finished run to report{rest(chosen)}"
        )
    apart = separate(rows)
    varied = fill_settings(rows)
    apart += separate_trained(rows) + mark_chosen(rows, "run")
    kept, repeated = without_repeats(rows, varied)
    settings, ties = setting_rows(kept, varied)
    for row in rows:
        del row["correct"]
    return {
        "format": 2,
        "varied": varied,
        "runs": sorted(rows, key=lambda row: (row["chosen_apart"], *rank_of(row))),
        "settings": settings,
        "ties": ties,
        "counted": len({row["run"] for row in kept}),
        "repeated": repeated,
        "tested_images": apart,
        "unfinished": [
            {"run": str(run), "status": FOREIGN, "error": chosen.foreign[run]}
            if run in chosen.foreign
            else unfinished(run)
            for run in chosen.runs
            if run not in finished
        ],
        "passed_over": [
            {"folder": str(folder), "why": why} for folder, why in chosen.passed_over.items()
        ],
    }


def chosen_rows(run: Path, chosen: Chosen) -> list[Row]:
    """The rows of a finished run; none if it was found below a folder and is damaged."""
    try:
        return run_rows(run)
    except UNREADABLE as error:
        if run not in chosen.found:
            raise
        chosen.pass_over(run, error)
        return []


def rest(chosen: Chosen) -> str:
    """What to do about runs of which none can be reported."""
    if left := [run for run in chosen.runs if run not in chosen.passed_over]:
        return f"; 'kdrun resume {left[0]}' continues one of {len(left)} that are not finished"
    return "".join(f"; {folder}: {why}" for folder, why in chosen.passed_over.items())


def unfinished(folder: Path) -> dict[str, str]:
    """Status and error of a job without a result."""
    if not folder.exists():
        return {"run": str(folder), "status": "not begun", "error": ""}
    try:
        status = read_status(folder)
    except DamagedError:
        return {"run": str(folder), "status": "missing", "error": ""}
    state, error = str(status["status"]), str(status.get("error", {}).get("message", ""))
    # A run that is reopened for more epochs has no summary but still its status.
    return {"run": str(folder), "status": "reopened" if state == "done" else state, "error": error}


def run_rows(folder: Path) -> list[Row]:
    """One row per student of a finished run, or per seed's last generation.

    Raises:
        DamagedError: its files are not as kdrun writes them.
    """
    files = read_run_files(folder)
    try:
        plan = read_shaped(folder / PLAN, PLAN_SHAPE)["stages"]
        settings, correct = result_overrides(folder), read_correct(folder)
        found = places(files.summary, result_of(files.summary)) or [student_place(files.summary)]
        return [student_row(files, plan, place, settings, correct) for place in found]
    except MALFORMED as error:
        raise DamagedError(
            f"{folder}: files not written by this version of kdrun ({error!r})"
        ) from error


def student_row(
    files: RunFiles, plan: Any, place: int, settings: Mapping[str, str], correct: CorrectImages
) -> Row:
    """Accuracies of a student, its control and its teacher, and the student's sizes."""
    stages = files.summary["stages"]
    student = stages[place]
    seed = student.get("seed", files.summary["seed"])
    controls = (
        number
        for number, stage in enumerate(stages)
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
        "seed": str(seed),
        "train": accuracy["train"],
        "validation": accuracy["best_validation"],
        "validation_loss": accuracy.get("best_validation_loss"),
        "test": float(accuracy["test_at_best_validation"]),
        "control": None if control is None else _test_of(stages[control]),
        "teacher": _test_of(teachers[0]) if teachers else None,
        "images": int(files.summary["test_images"]),
        "test_hash": images_hash(correct, place, "test"),
        "pool": files.summary.get("pool"),
        "train_hash": training_hash(plan, student.get("seed")),
        "validation_hash": images_hash(correct, place, "validation"),
        "parameters": int(student["parameters"]),
        "macs": int(student["macs"]),
        "latency_ms": measured.get("latency", {}).get("median_ms"),
        "threads": measured.get("latency", {}).get("threads"),
        "correct": (correct.get(place, {}), {} if control is None else correct.get(control, {})),
    }


def _test_of(stage: Mapping[str, Any] | None) -> float | None:
    return None if stage is None else float(stage["accuracy"]["test_at_best_validation"])


def without_repeats(
    rows: Sequence[Row], varied: Sequence[str]
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return the rows without repeats of the same settings and seed, and the repeats."""
    kept: dict[tuple[str, ...], Row] = {}
    repeated = []
    of_run = Counter(row["run"] for row in rows)
    for row in rows:
        first = kept.setdefault((row["dataset"], *(row["settings"][name] for name in varied)), row)
        if first is not row:
            equal = first["test"] == row["test"]
            # A run of one seed is left out as a whole.
            seed = row["seed"] if of_run[row["run"]] > 1 else None
            repeated.append({"run": row["run"], "seed": seed, "of": first["run"], "equal": equal})
    return list(kept.values()), repeated
