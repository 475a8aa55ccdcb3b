"""Files of a finished run, read as untrusted data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DamagedError
from kdrun.store.files import check_files, read_json_lines, read_sealed
from kdrun.store.run_folder import ANALYSIS, CONFIG, ENVIRONMENT, METRICS, SUMMARY
from kdrun.store.saved_config import refuse_links, saved_config

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What data of another shape than ours raises."""


@dataclass(frozen=True)
class RunFiles:
    """What a finished run says of itself.

    Attributes:
        analysis: None where nothing was measured.
        config: plain data.
        config_text: the file itself.
    """

    folder: Path
    summary: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    analysis: dict[str, Any] | None
    config: Any
    config_text: str


def read_run_files(folder: Path) -> RunFiles:
    """Read a finished run.

    Raises:
        ConfigError: it is none.
        DamagedError: a file is not as it was written.
        OutputError: one is a link.
    """
    if not (folder / CONFIG).exists():
        raise ConfigError(f"{folder}: no run of kdrun (it has no {CONFIG})")
    if not (folder / SUMMARY).exists():
        raise ConfigError(f"{folder}: the run is not finished; 'kdrun resume {folder}' goes on")
    refuse_links(folder)
    summary = read_sealed(folder / SUMMARY)
    if summary.get("status") != "done" or not summary.get("stages"):
        raise DamagedError(f"{folder / SUMMARY} is not of this kdrun")
    check_files(folder, summary.get("files"))
    return RunFiles(
        folder=folder,
        summary=summary,
        environment=read_sealed(folder / ENVIRONMENT),
        metrics=read_json_lines(folder / METRICS),
        analysis=read_sealed(folder / ANALYSIS) if (folder / ANALYSIS).exists() else None,
        config=saved_config(folder / CONFIG),
        config_text=(folder / CONFIG).read_text(),
    )
