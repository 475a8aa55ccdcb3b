"""`kdrun [run]`: one run, or a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import OutputError, reason
from kdrun.signals import importing


def run(words: Sequence[str]) -> None:
    """Start a run, or with -m a sweep: `kdrun [run] [overrides]`."""
    with importing():
        from kdrun.config.compose import run_app
        from kdrun.runs.sweep.claims import CLAIMS

    try:
        with CLAIMS:
            run_app(words, run_task)
    except BrokenPipeError:
        raise
    except OSError as error:  # Hydra makes the folder of a sweep by itself
        place = "an output" if error.filename is None else error.filename
        raise OutputError(
            f"cannot write {place}: {error.strerror or reason(error)}; free space, or set "
            "output_root to a folder that can be written"
        ) from error


def run_task(composed: Any) -> float | None:
    """Run a composed config; Hydra calls this once per job."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from kdrun.config.parse import parse

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode == RunMode.MULTIRUN:
        with importing():
            from kdrun.config.sweep_overrides import as_typed
            from kdrun.runs.sweep.begin import own_yaml
            from kdrun.runs.sweep.sweep import run_job

        return run_job(composed, folder, as_typed(hydra), hydra, own_yaml(hydra))
    config = parse(composed)
    with importing():
        from kdrun.config.sweep_overrides import as_typed
        from kdrun.runs.runner import run

    run(config, folder if hydra.run.dir != "." else None, as_typed(hydra))
    return None
