"""Remaining jobs of a sweep on a launcher of Hydra's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.compose import hydra_ready, search_path
from kdrun.config.composition_faults import one_line
from kdrun.config.sweep_overrides import written
from kdrun.errors import ConfigError

KEYS = ("hydra/launcher", "hydra.launcher")
"""Overrides of the launcher, on the command line only; a sweep never stores them."""


def launcher_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides of the launcher, and the other words."""
    own = [word for word in words if is_launcher(word)]
    return own, [word for word in words if word not in own]


def is_launcher(word: str) -> bool:
    """Whether a word selects or configures a launcher."""
    key = word.lstrip("+~").partition("=")[0]
    return any(key == one or key.startswith(f"{one}.") for one in KEYS)


@dataclass(frozen=True)
class NamedJob:
    """Task for a launcher: does the job named by its folder, whatever config was composed.

    Attributes:
        sweep: folder of the sweep, absolute.
        work: called with the name of a job.
    """

    sweep: Path
    work: Callable[[str], None]

    def __call__(self, composed: DictConfig) -> None:
        """Do the work of the job."""
        folder = Path(HydraConfig.get().runtime.output_dir)
        self.work(folder.relative_to(self.sweep).as_posix())


def launch(
    sweep: Path,
    jobs: Sequence[str],
    work: Callable[[str], None],
    launcher: Sequence[str],
    config_dir: Path | None,
) -> None:
    """Do the work for every job on a launcher, and wait for all of them.

    Args:
        sweep: folder of the sweep, absolute and without "..", as Hydra gives those of jobs.
        jobs: names of the jobs' folders.
        work: called with the name of a job, perhaps in another process on another machine.
        launcher: overrides of the launcher.
        config_dir: folder with the user's own YAML, perhaps of a launcher.

    Raises:
        ConfigError: the launcher is unknown or badly configured.
        Stopped: a job was stopped.
    """
    try:
        with hydra_ready():
            runner = _instance([*search_path(config_dir), *launcher], sweep, work)
            folders = [[f"hydra.sweep.subdir={written(name)}"] for name in jobs]
            returns = runner.launch(folders, initial_job_idx=0)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from error
    for one in returns:
        raise_failure(one)


def _instance(overrides: Sequence[str], sweep: Path, work: Callable[[str], None]) -> Launcher:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    config = hydra.compose_config(
        "config", [*overrides, f"hydra.sweep.dir={written(str(sweep))}"], RunMode.MULTIRUN
    )
    return Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(hydra.config_loader, Callbacks(config)),
        task_function=NamedJob(sweep, work),
        config=config,
    )


def raise_failure(done: JobReturn) -> None:
    """Raise what the work of a job raised; nothing after success."""
    if done.status == JobStatus.FAILED:
        raise done._return_value
