"""The command line: verbs, and one line on stderr for whatever goes wrong.

Imports neither torch nor anything that does; only a verb that is about to work does.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdrun import __version__
from kdrun.config.help import help_text
from kdrun.errors import ConfigError, KdrunError, OutputError, first_line, near_miss
from kdrun.stop import importing
from kdrun.verbs import analyze, export, named_folder, report, taken_option


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `kdrun` with the arguments (the command line's by default) and leave with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback_wanted = "--traceback" in words or os.environ.get("HYDRA_FULL_ERROR") == "1"
    words = [word for word in words if word != "--traceback"]
    sys.exit(guarded(lambda: dispatch(words), traceback_wanted))


def guarded(work: Callable[[], None], traceback_wanted: bool) -> int:
    """Do the work; turn what it raises into lines on stderr and an exit code."""
    try:
        work()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        if interrupted(error):
            return 130
        if traceback_wanted:
            traceback.print_exc()
        if isinstance(error, KdrunError):
            complain(error)
            return error.code
        # Our own bug: still one line, unless the rest is asked for.
        told = first_line(error)
        print(f"kdrun: internal error: {told} (--traceback shows where)", file=sys.stderr)
        return KdrunError.code
    return 0


def interrupted(error: Exception) -> bool:
    """Whether Ctrl-C led to it, as where Hydra goes on with a config that is half composed."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt):
            return True
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    return False


def complain(error: KdrunError) -> None:
    """One line a fault on stderr."""
    for line in str(error).splitlines():
        print(f"kdrun: {line}", file=sys.stderr)


def dispatch(words: Sequence[str]) -> None:
    """Call the verb that the first word names; without one it is `run`."""
    first = words[0] if words else ""
    if first == "--version":
        print(f"kdrun {__version__}")
    elif {"--help", "-h"} & set(words):
        print(help_text())
    elif first in VERBS:
        VERBS[first](words[1:])
    elif first and first[0] not in "-+~" and "=" not in first:
        raise ConfigError(
            f"unknown command '{first}'{near_miss(first, VERBS)} (commands: {', '.join(VERBS)}; "
            "settings are written key=value)"
        )
    else:
        run(words)


def run(words: Sequence[str]) -> None:
    """`kdrun [run] [overrides]`: one run, or with -m a sweep."""
    before = ["", *words]  # what follows an option, such as --config-dir, is its value
    late = [b for a, b in zip(before, words, strict=False) if b in VERBS and a[:1] != "-"]
    if late:
        raise ConfigError(f"'{late[0]}' is a command, which comes first: kdrun {late[0]} ...")
    with importing():
        from kdrun.config.compose import run_app

    try:
        run_app(words, run_task)
    except OSError as error:  # Hydra makes the folder of a sweep by itself
        raise OutputError(f"cannot write {error.filename}: {error.strerror}") from error


def run_task(composed: Any) -> float | None:
    """What Hydra calls for the composed config, in a sweep for each job's."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from kdrun.config.parse import parse

    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode == RunMode.MULTIRUN:
        with importing():
            from kdrun.sweep import run_job

        sources = {one.provider: one.path for one in hydra.runtime.config_sources}
        config_dir = sources.get("command-line")
        given = None if config_dir is None else Path(config_dir)
        return run_job(composed, folder, overrides, hydra.job.num, given)
    config = parse(composed)
    with importing():
        from kdrun.runner import run

    run(config, folder if hydra.run.dir != "." else None, overrides)
    return None


def resume(words: Sequence[str]) -> None:
    """`kdrun resume DIR [overrides]`: go on with a run or a sweep in its own folder."""
    folder, rest = named_folder("resume", words)
    from kdrun.sweep_jobs import SWEEP

    if (folder / SWEEP).exists():
        with importing():
            from kdrun.run_folder import occupied
            from kdrun.sweep import resume_sweep

        given, overrides = taken_option(rest, "--config-dir", "-cd")
        with occupied(folder):
            resume_sweep(folder, overrides, None if given is None else Path(given))
        return
    from kdrun.changes import checked_overrides

    checked_overrides(rest)  # before seconds of imports
    with importing():
        from kdrun.resume import resume_run

    resume_run(folder, rest)


def verify(words: Sequence[str]) -> None:
    """`kdrun verify DIR`: check every file of a run, a sweep, a stage or a store."""
    folder, rest = named_folder("verify", words)
    if rest:
        raise ConfigError(f"verify takes a folder and nothing else, not {rest[0]}")
    with importing():
        from kdrun.verify import show_verified

    show_verified(folder)


def plan(words: Sequence[str]) -> None:
    """`kdrun plan [--probe] [overrides]`: show the stages and what they take; write nothing."""
    if {"-m", "--multirun"} & set(words):
        raise ConfigError("plan shows one run; leave out -m")
    probe, overrides = "--probe" in words, [word for word in words if word != "--probe"]

    def work(config: Any) -> None:
        with importing():
            from kdrun.show_plan import show_plan

        show_plan(config, probe, overrides)

    show(work, overrides)


def layers(words: Sequence[str]) -> None:
    """`kdrun layers MODEL [overrides]`: module paths, shapes, and which may be hooked."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise ConfigError("layers needs a model: kdrun layers resnet20 [dataset=cifar10 ...]")

    def work(config: Any) -> None:
        with importing():
            from kdrun.show import show_layers

        show_layers(config)

    show(work, [f"student={words[0]}", *words[1:]])


def show(work: Callable[[Any], None], words: Sequence[str]) -> None:
    """Compose and check the config, then show what it is about."""
    with importing():
        from kdrun.config.compose import run_app
        from kdrun.config.parse import parse

    def task(composed: Any) -> None:
        work(parse(composed))

    run_app(words, task)


VERBS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": run,
    "resume": resume,
    "verify": verify,
    "analyze": analyze,
    "report": report,
    "export": export,
    "plan": plan,
    "layers": layers,
}
