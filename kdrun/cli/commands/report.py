"""`kdrun report`."""

import os
from collections.abc import Sequence

from kdrun.cli.arguments import named_folder, taken_option
from kdrun.errors import ConfigError, near_miss
from kdrun.escaping import show
from kdrun.signals import importing


def report(words: Sequence[str]) -> None:
    """Report a run, or compare several, a sweep or all below a folder: `kdrun report DIR...`."""
    form, names = taken_option(words, "--format")
    if settings := [name for name in names if "=" in name and not os.path.isdir(name)]:
        key, _, value = settings[0].partition("=")
        dashed = f"; write --format {value}" if key == "format" else ""
        raise ConfigError(f"{settings[0]}: report takes folders and --format only{dashed}")
    folders = [named_folder("report", [name])[0] for name in names]
    folders = folders or [named_folder("report", [])[0]]
    single = len(folders) == 1 and (folders[0] / "config.yaml").exists()
    if form is None and single and not (folders[0] / "sweep.yaml").exists():
        with importing():
            from kdrun.report.run_page import write_report

        show(f"written: {write_report(folders[0])}")
        if not (folders[0] / "analysis.json").exists():
            show(f"the run has no analysis yet: 'kdrun analyze {folders[0]}' measures it")
        return
    with importing():
        from kdrun.report.comparison_page import FORMATS, report_comparison

    if form is not None and form not in FORMATS:
        hint = near_miss(form, FORMATS)
        raise ConfigError(f"--format {form}: must be one of {', '.join(FORMATS)}{hint}")
    report_comparison(folders, form or "table")
