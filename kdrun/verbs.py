"""The verbs that read what finished runs left. Imports nothing heavy before one works."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, near_miss
from kdrun.stop import importing

LEVELS = ("basic", "full")
EXPORTS = ("safetensors", "pt2", "onnx")


def analyze(words: Sequence[str]) -> None:
    """`kdrun analyze DIR [analysis=full] [overrides]`: measure a finished run's models."""
    folder, rest = named_folder("analyze", words)
    changes = places_given(rest)
    level = changes.pop("analysis", LEVELS[-1])
    if level not in LEVELS:
        raise ConfigError(f"analyze takes analysis={' or analysis='.join(LEVELS)}, not {level}")
    with importing():
        from kdrun.measurement.analyze import analyze_run
        from kdrun.report.run_page import write_report

    print(f"measured: {analyze_run(folder, level, changes)}")
    print(f"written: {write_report(folder)}")


def report(words: Sequence[str]) -> None:
    """`kdrun report DIR... [--format F]`: the page of a run; of several or a sweep a comparison."""
    form, names = taken_option(words, "--format")
    folders = [named_folder("report", names[place:])[0] for place in range(max(1, len(names)))]
    if form is None and len(folders) == 1 and not (folders[0] / "sweep.yaml").exists():
        with importing():
            from kdrun.report.run_page import write_report

        print(f"written: {write_report(folders[0])}")
        return
    with importing():
        from kdrun.report.comparison_page import FORMATS, report_comparison

    if form is not None and form not in FORMATS:
        hint = near_miss(form, FORMATS)
        raise ConfigError(f"--format {form}: must be one of {', '.join(FORMATS)}{hint}")
    report_comparison(folders, form or "table")


def export(words: Sequence[str]) -> None:
    """`kdrun export DIR [--format safetensors,pt2] [overrides]`: the student alone, checked."""
    form, names = taken_option(words, "--format")
    folder, rest = named_folder("export", names)
    changes = places_given(rest)
    wanted = (form or "safetensors,pt2").split(",")
    for name in wanted:
        if name not in EXPORTS:
            hint = near_miss(name, EXPORTS)
            raise ConfigError(f"--format {name}: must be of {', '.join(EXPORTS)}{hint}")
    with importing():
        from kdrun.export.student import export_student
        from kdrun.tables import percent

    card = export_student(folder, wanted, changes)
    right = f"{percent(card['test_accuracy'])} of {card['test_images']} test images"
    print(f"{card['arch']}: {right}, in float32")
    for entry in card["files"].values():
        print(
            f"  {folder / 'export' / entry['file']}: {entry['bytes']:,} bytes, same accuracy, "
            f"logits within {entry['max_logit_difference']:.2g}, "
            f"{entry['latency']['median_ms']:.3g} ms an image on the CPU"
        )
    print(f"the model card is {folder / 'export' / 'README.md'}")


def places_given(words: Sequence[str]) -> dict[str, Any]:
    """The overrides with which a finished run is opened."""
    from kdrun.changes import checked_places  # imports Hydra

    return checked_places(words)


def taken_option(words: Sequence[str], *names: str) -> tuple[str | None, list[str]]:
    """The value of an option, if it is given, and the other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(*names, dest="value")
    try:
        known, rest = parser.parse_known_args(list(words))
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    return known.value, rest


def named_folder(verb: str, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The folder that a verb is given first, and the words after it."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise ConfigError(f"{verb} needs a folder: kdrun {verb} outputs/...")
    folder = Path(words[0])
    if not folder.is_dir():
        siblings = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise ConfigError(f"{folder}: no such folder{near_miss(folder.name, siblings)}")
    return folder, words[1:]
