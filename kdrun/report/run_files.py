"""Files of a finished run, read as untrusted data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.report.checked_figures import check_figures
from kdrun.report.checked_metrics import read_metrics
from kdrun.store.finished_runs import read_analysis, read_choices, read_summary
from kdrun.store.folders import refuse_links
from kdrun.store.formats import ENVIRONMENT as ENVIRONMENT_SHAPE
from kdrun.store.regular_files import read_regular
from kdrun.store.run_folder import CONFIG, ENVIRONMENT, SUMMARY
from kdrun.store.saved_config import saved_config
from kdrun.store.shapes import read_shaped

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Exceptions that malformed data raises."""


@dataclass(frozen=True)
class RunFiles:
    """Contents of a finished run's files.

    Attributes:
        analysis: None without an analysis.
        choices: of T by temperature=auto.
        config: plain data.
        config_text: text of the file.
    """

    folder: Path
    summary: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    analysis: dict[str, Any] | None
    config: Any
    config_text: str
    choices: Sequence[Mapping[str, Any]] = ()


def read_run_files(folder: Path) -> RunFiles:
    """Read a finished run.

    Raises:
        ConfigError: the folder holds no finished run.
        DamagedError: a file is damaged.
        OutputError: a file is a link.
    """
    if not (folder / CONFIG).exists():
        raise ConfigError(f"{folder}: no run of kdrun (it has no {CONFIG})")
    if not (folder / SUMMARY).exists():
        raise ConfigError(
            f"{folder}: the run is not finished; 'kdrun resume {folder}' continues it"
        )
    refuse_links(folder)
    summary = read_summary(folder)
    check_figures(folder, summary)
    return RunFiles(
        folder=folder,
        summary=summary,
        environment=read_shaped(folder / ENVIRONMENT, ENVIRONMENT_SHAPE),
        metrics=read_metrics(folder, summary),
        analysis=read_analysis(folder, summary),
        config=saved_config(folder / CONFIG),
        config_text=read_regular(folder / CONFIG).decode(errors="replace"),
        choices=read_choices(folder),
    )
