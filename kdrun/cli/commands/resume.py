"""`kdrun resume`."""

from collections.abc import Sequence

from kdrun.cli.arguments import existing_folder, named_folder
from kdrun.config.flags import split_words
from kdrun.early_signals import resumable_by
from kdrun.errors import ConfigError
from kdrun.signals import importing


def resume(words: Sequence[str]) -> None:
    """Resume a run or a sweep in its folder: `kdrun resume DIR [overrides]`.

    `-m hydra/launcher=NAME` runs the jobs of a sweep on a launcher.
    """
    split = split_words(words)
    given = split.flags.get("--config-dir")
    folder, rest = named_folder("resume", split.rest)
    from kdrun.store.sweep_folder import SWEEP

    if (folder / SWEEP).exists():
        with importing():
            from kdrun.config.path_overrides import readable
            from kdrun.runs.sweep.launch import launcher_words
            from kdrun.runs.sweep.resume import resume_sweep
            from kdrun.store.run_folder import occupied

        own = None if given is None else existing_folder(given)
        launcher, overrides = launcher_words(readable(rest))
        with occupied(folder):
            resumable_by(f"'kdrun resume {folder}' continues")
            resume_sweep(folder, overrides, own, launcher)
        return
    if "--multirun" in split.flags:
        raise ConfigError(f"-m: {folder} is one run, not a sweep; leave it out")
    if given is not None:
        raise ConfigError(f"--config-dir: {folder} is a run, which has its config; leave it out")
    from kdrun.runs.resume_overrides import checked_overrides

    checked_overrides(rest)  # before seconds of imports
    with importing():
        from kdrun.runs.resume import resume_run

    resume_run(folder, rest)
