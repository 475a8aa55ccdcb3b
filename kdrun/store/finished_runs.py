"""Reading of a finished run: summary, analysis, choices of T, and links to stages."""

from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError, MisplacedError
from kdrun.store.analysis_format import ANALYSIS_FILE
from kdrun.store.files import check_files
from kdrun.store.formats import PLAN, RUN_SUMMARY, TEMPERATURES
from kdrun.store.run_folder import ANALYSIS, CONFIG, ENVIRONMENT, METRICS, SUMMARY, TEMPERATURE
from kdrun.store.run_folder import PLAN as PLAN_FILE
from kdrun.store.shapes import read_shaped
from kdrun.store.stages import own_digest

LISTED = (CONFIG, ENVIRONMENT, PLAN_FILE, METRICS)
"""Files with a checksum in every summary."""


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of a finished run; verify the summary and all files listed.

    Raises:
        DamagedError: one of the files is damaged.
    """
    summary = read_shaped(folder / SUMMARY, RUN_SUMMARY)
    for name in LISTED:
        if name not in summary["files"]:
            raise DamagedError(f"{folder / SUMMARY} is damaged: it does not list {name}")
    check_files(folder, summary["files"])
    return summary


def read_analysis(folder: Path, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Read the analysis of the run's models; None if there is none.

    Raises:
        DamagedError: the analysis is damaged, or belongs to another run.
    """
    path = folder / ANALYSIS
    if not path.exists():
        return None
    analysis = read_shaped(path, ANALYSIS_FILE)
    check_analysis(path, analysis, summary)
    return analysis


def read_choices(folder: Path) -> list[dict[str, Any]]:
    """Read the choices of temperature=auto in a run, with their inputs; [] if there are none.

    Raises:
        DamagedError: the file is not in kdrun's format.
    """
    path = folder / TEMPERATURE
    if not path.exists():
        return []
    choices: list[dict[str, Any]] = read_shaped(path, TEMPERATURES)["choices"]
    return choices


def check_analysis(path: Path, analysis: dict[str, Any], summary: dict[str, Any]) -> None:
    """Check that an analysis covers the stages of the summary.

    Raises:
        MisplacedError: the analysis covers other stages.
    """
    stages = summary["stages"]
    made = [stage.get("hash") for stage in stages]
    named = [(one["role"], one["arch"]) for one in analysis["models"]]
    same = named == [(stage["role"], stage["arch"]) for stage in stages]
    if not same or analysis.get("hashes", made) != made:
        raise MisplacedError(f"{path} is damaged: it belongs to another run; run 'kdrun analyze'")


def linked_stage(folder: Path, place: int, digest: str | None) -> Path | None:
    """The target of the run's link to a stage; None if there is no link.

    Args:
        folder: of the run.
        place: of the stage in the run.
        digest: hash of the stage; None if not recorded in the run.

    Raises:
        MisplacedError: the target is another stage.
    """
    links = sorted((folder / "stages").glob(f"{place:02}-*"))
    there = [(link, link.resolve()) for link in links if link.is_dir()]
    if not there:
        return None
    for _, target in there:
        if digest is None or digest == own_digest(target):
            return target
    link, target = there[0]
    raise MisplacedError(f"{link} is damaged: it links to the stage {target.name}, not to {digest}")


def planned_hashes(folder: Path) -> list[str | None]:
    """The stages' hashes in the plan; None for a stage with T not yet chosen.

    Raises:
        DamagedError: the plan is damaged.
    """
    stages = read_shaped(folder / PLAN_FILE, PLAN)["stages"]
    known: list[str | None] = []
    for stage in stages:
        earlier = [known[n] for n in stage["teachers"] if n < len(known)]
        decided = stage["T"] != "auto" and None not in earlier
        known.append(stage["hash"] if decided else None)
    return known
