"""Start of a sweep: claim the folder, record the jobs."""

from pathlib import Path

from hydra.conf import HydraConf
from omegaconf import DictConfig

from kdrun.config.compose import check_hydra
from kdrun.config.optuna_sweeper import refuse_minimizing
from kdrun.config.sweep_checks import check_jobs
from kdrun.config.sweep_overrides import as_typed, planned_jobs
from kdrun.early_signals import resumable_by
from kdrun.runs.sweep.claims import CLAIMS
from kdrun.runs.sweep.shared_settings import shared_settings
from kdrun.runs.sweep.sweep import close_broken
from kdrun.store.run_folder import occupied
from kdrun.store.stages import make_store
from kdrun.store.sweep_folder import begin_sweep, refuse_taken


def begin(config: DictConfig) -> None:
    """Claim the folder of a new sweep and record its jobs.

    Raises:
        ConfigError: an override cannot be stored, a job has a wrong one, or the sweeper would
            minimise.
        OutputError: the folder holds a sweep or run, is in use, or cannot be written.
    """
    refuse_minimizing(config.hydra.sweeper)
    folder = Path(config.hydra.sweep.dir)
    check_hydra(config.hydra)
    own = own_yaml(config.hydra)
    planned = planned_jobs(config, own)
    jobs = None if planned is None else planned.overrides
    refuse_taken(folder, jobs)  # first, because a claim leaves a lock file
    if jobs is not None:
        check_jobs(config, jobs)
    CLAIMS.enter_context(occupied(folder))
    refuse_taken(folder, jobs, claimed=True)  # another process may have been faster
    make_store(Path(config.output_root))  # a resumed sweep finds its output root by the store
    shared = shared_settings(config, jobs, own)
    folders = None if planned is None else planned.folders
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    begin_sweep(folder, as_typed(config.hydra), jobs, shared, folders, launcher)
    resumable_by(f"'kdrun resume {folder}' continues")
    CLAIMS.push(lambda kind, error, trace: close_broken(folder, own, error))


def own_yaml(hydra: DictConfig | HydraConf) -> Path | None:
    """Return the folder with the user's own YAML, if given on the command line."""
    sources = {one.provider: one.path for one in hydra.runtime.config_sources}
    given = sources.get("command-line")
    return None if given is None else Path(given)
