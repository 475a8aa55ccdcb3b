"""Reading a finished run's summary, analysis and choices of T, and finding its stages."""

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
"""Files whose checksums every summary has."""


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a finished run; it and every file that it lists are verified.

    Raises:
        DamagedError: one is not as it was written.
    """
    summary = read_shaped(folder / SUMMARY, RUN_SUMMARY)
    for name in LISTED:
        if name not in summary["files"]:
            raise DamagedError(f"{folder / SUMMARY} is damaged: it does not list {name}")
    check_files(folder, summary["files"])
    return summary


def read_analysis(folder: Path, summary: dict[str, Any]) -> dict[str, Any] | None:
    """What was measured of the run's models; None where nothing was.

    Raises:
        DamagedError: it is not as it was written, or of another run.
    """
    path = folder / ANALYSIS
    if not path.exists():
        return None
    analysis = read_shaped(path, ANALYSIS_FILE)
    check_analysis(path, analysis, summary)
    return analysis


def read_choices(folder: Path) -> list[dict[str, Any]]:
    """What temperature=auto chose in a run, and from what; [] where it chose nothing.

    Raises:
        DamagedError: the file is not as kdrun writes it.
    """
    path = folder / TEMPERATURE
    if not path.exists():
        return []
    choices: list[dict[str, Any]] = read_shaped(path, TEMPERATURES)["choices"]
    return choices


def check_analysis(path: Path, analysis: dict[str, Any], summary: dict[str, Any]) -> None:
    """See that an analysis is of the stages of the summary.

    Raises:
        MisplacedError: it is of others.
    """
    stages = summary["stages"]
    made = [stage.get("hash") for stage in stages]
    named = [(one["role"], one["arch"]) for one in analysis["models"]]
    same = named == [(stage["role"], stage["arch"]) for stage in stages]
    if not same or analysis.get("hashes", made) != made:
        raise MisplacedError(f"{path} is damaged: it is of another run; 'kdrun analyze' measures")


def linked_stage(folder: Path, place: int, digest: str | None) -> Path | None:
    """The stage to which the run's link leads; None where none is there.

    Args:
        folder: the run's.
        place: of the stage in the run.
        digest: its hash; None where the run does not tell.

    Raises:
        MisplacedError: it is another stage.
    """
    links = sorted((folder / "stages").glob(f"{place:02}-*"))
    there = [(link, link.resolve()) for link in links if link.is_dir()]
    if not there:
        return None
    for _, target in there:
        if digest is None or digest == own_digest(target):
            return target
    link, target = there[0]
    raise MisplacedError(
        f"{link} is damaged: it leads to the stage {target.name}, the run's is {digest}"
    )


def planned_hashes(folder: Path) -> list[str | None]:
    """The stages' hashes as the plan tells them; None where T was to be chosen first.

    Raises:
        DamagedError: the plan is not as it was written.
    """
    stages = read_shaped(folder / PLAN_FILE, PLAN)["stages"]
    known: list[str | None] = []
    for stage in stages:
        earlier = [known[n] for n in stage["teachers"] if n < len(known)]
        decided = stage["T"] != "auto" and None not in earlier
        known.append(stage["hash"] if decided else None)
    return known
