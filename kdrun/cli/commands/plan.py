"""`kdrun plan`."""

from collections.abc import Sequence
from typing import Any

from kdrun.cli.arguments import show
from kdrun.errors import ConfigError
from kdrun.signals import importing


def plan(words: Sequence[str]) -> None:
    """Show the stages and their cost, write nothing: `kdrun plan [--probe] [overrides]`."""
    if {"-m", "--multirun"} & set(words):
        raise ConfigError("plan shows one run; leave out -m")
    probe, overrides = "--probe" in words, [word for word in words if word != "--probe"]

    def work(config: Any) -> None:
        with importing():
            from kdrun.runs.preview.plan import show_plan

        show_plan(config, probe, overrides)

    show(work, overrides)
