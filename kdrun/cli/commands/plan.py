"""`kdrun plan`."""

from collections.abc import Sequence
from typing import Any

from kdrun.cli.arguments import show
from kdrun.config.flags import split_words
from kdrun.signals import importing


def plan(words: Sequence[str]) -> None:
    """Show the stages and their cost, write nothing: `kdrun plan [--probe] [overrides]`."""
    split = split_words(words)
    probe = "--probe" in split.flags
    split.flags.pop("--probe", None)

    def work(config: Any) -> None:
        with importing():
            from kdrun.runs.preview.plan import show_plan

        show_plan(config, probe, split.rest)

    show(work, split.as_arguments())
