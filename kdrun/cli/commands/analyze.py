"""`kdrun analyze`."""

from collections.abc import Sequence

from kdrun.cli.arguments import named_folder, places_given
from kdrun.errors import ConfigError
from kdrun.escaping import show
from kdrun.signals import importing

LEVELS = ("basic", "full")


def analyze(words: Sequence[str]) -> None:
    """Measure a finished run's models: `kdrun analyze DIR [analysis=full] [overrides]`."""
    folder, rest = named_folder("analyze", words)
    changes = places_given(rest)
    level = changes.pop("analysis", LEVELS[-1])
    if level not in LEVELS:
        raise ConfigError(f"analyze takes analysis={' or analysis='.join(LEVELS)}, not {level}")
    with importing():
        from kdrun.report.run_page import write_report
        from kdrun.runs.analyze import analyze_run

    show(f"measured: {analyze_run(folder, level, changes)}")
    show(f"written: {write_report(folder)}")
