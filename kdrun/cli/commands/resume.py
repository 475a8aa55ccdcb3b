"""`kdrun resume`."""

from collections.abc import Sequence
from pathlib import Path

from kdrun.cli.arguments import named_folder, taken_option
from kdrun.early_signals import resumable_by
from kdrun.signals import importing


def resume(words: Sequence[str]) -> None:
    """Resume a run or a sweep in its folder: `kdrun resume DIR [overrides]`.

    `-m hydra/launcher=NAME` runs the jobs of a sweep on a launcher.
    """
    folder, rest = named_folder("resume", words)
    from kdrun.store.sweep_folder import SWEEP

    if (folder / SWEEP).exists():
        with importing():
            from kdrun.runs.sweep.launch import launcher_words
            from kdrun.runs.sweep.resume import resume_sweep
            from kdrun.store.run_folder import occupied

        given, words = taken_option(rest, "--config-dir", "-cd")
        launcher, overrides = launcher_words(words)
        with occupied(folder):
            resumable_by(f"'kdrun resume {folder}' continues")
            own = None if given is None else Path(given)
            resume_sweep(folder, overrides, own, launcher)
        return
    from kdrun.runs.resume_overrides import checked_overrides

    checked_overrides(rest)  # before seconds of imports
    with importing():
        from kdrun.runs.resume import resume_run

    resume_run(folder, rest)
