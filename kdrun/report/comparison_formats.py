"""Output formats of a comparison: terminal table, Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kdrun.escaping import csv_cell, markdown_text, printable
from kdrun.loggers.tables import add_columns, add_settings, count, percent, plain_table
from kdrun.report.gain_words import MORE_SEEDS, p_cell
from kdrun.report.paired_gain import MCNEMAR, PAIRED_T
from kdrun.report.seeds_table import SEED, gain_words
from kdrun.report.shown_settings import shown_settings
from kdrun.store.summary import chosen_by

Content = Mapping[str, Any]


def p_of(gain: Mapping[str, Any] | None) -> str:
    """The p value of a difference, Holm-adjusted in a table of many rows."""
    return "-" if gain is None else p_cell(gain["p"] if gain["holm"] is None else gain["holm"])


def settings_of(content: Content) -> list[str]:
    """The settings that have a column."""
    return [name for name in content["varied"] if name != SEED]


DIFFERENCES = ("over control", "p control", "to the first", "p first")


def measured(content: Content) -> list[str]:
    """Heads of the columns after the settings, without duplicates."""
    chosen = "val" if chosen_by(content["settings"]) == "validation" else "train"
    images = ["images"] if any(row["tested_on"] for row in content["settings"]) else []
    heads = [
        "student",
        *images,
        "seeds",
        chosen,
        "test",
        "deviation",
        *DIFFERENCES,
        "params",
        "MACs",
        "ms",
    ]
    return [head for head in heads if head not in settings_of(content)]


def runs_words(content: Content) -> str:
    """Number of runs in the table, and of seeds if a run has several."""
    runs, seeds = content["counted"], sum(row["seeds"] for row in content["settings"])
    words = f"{runs} run{'s' * (runs != 1)}"
    return words if seeds == runs else f"{words} ({seeds} seeds)"


def columns(content: Content) -> list[str]:
    """Heads of the table of settings."""
    return [*map(printable, settings_of(content)), *measured(content)]


def numbers(content: Content) -> list[str]:
    """The right-aligned columns."""
    return [head for head in measured(content) if head not in ("student", "images")]


def cells(content: Content) -> list[list[str]]:
    """Cells of the table of settings; differences have a 95 % interval and p."""
    return [
        [
            *(printable(row["settings"].get(name, "-")) for name in settings_of(content)),
            *(_measured(row)[head] for head in measured(content)),
        ]
        for row in shown_settings(content["settings"])
    ]


def _measured(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "student": printable(row["arch"]),
        "images": row["tested_on"] or "-",
        "seeds": str(row["seeds"]),
        "train": percent(row["train"]),
        "val": percent(row["validation"]),
        "test": percent(row["test"]),
        "deviation": percent(row["deviation"]),
        "over control": gain_words(row["gain"]),
        "p control": p_of(row["gain"]),
        "to the first": gain_words(row["difference"]) + _of_seeds(row["shared_seeds"]),
        "p first": p_of(row["difference"]),
        "params": count(row["parameters"]),
        "MACs": count(row["macs"]),
        "ms": "-" if row["latency_ms"] is None else f"{row['latency_ms']:.3g}",
    }


def _of_seeds(shared: int | None) -> str:
    return "" if shared is None else f" of {shared} shared seed{'s' * (shared > 1)}"


def table(content: Content) -> Table:
    """The table for the terminal, without empty columns."""
    names, rows = columns(content), cells(content)
    kept = [place for place in range(len(names)) if any(row[place] != "-" for row in rows)]
    varied = len(settings_of(content))
    # The column that orders the rows always stays.
    spare = ("deviation", "MACs", "ms", "params", *DIFFERENCES[:0:-1])
    title = f"{runs_words(content)} by {chosen_by(content['settings'])} accuracy"
    shown = plain_table(title, spare)
    heads = {escape(names[place]): place for place in kept if place < varied}
    settings = add_settings(shown, list(heads))
    add_columns(shown, *(names[place] for place in kept if place >= varied))
    for number, row in enumerate(rows):
        own = settings({head: row[place] for head, place in heads.items()})
        values = [row[place] for place in kept if place >= varied]
        style = "bold" if number == 0 else None
        shown.add_row(*(Text(cell) for cell in (*own, *values)), style=style)
    return shown


def notes(content: Content) -> list[str]:
    """Notes below the table: tests, comparability, and left-out runs."""
    lines = [*_tests(content["settings"]), *_comparability(content["settings"])]
    return [*lines, *content["tested_images"], *left_out(content)]


def left_out(content: Content) -> list[str]:
    """Notes on runs and folders that are not in the table."""
    lines = []
    for row in content["repeated"]:
        same = "the same result" if row["equal"] else "a different result"
        seed = "" if row["seed"] is None else f"seed {row['seed']} of "
        lines.append(
            f"{printable(seed + row['run'])} is left out: same settings and seed as "
            f"{printable(row['of'])}, with {same}"
        )
    for job in content["unfinished"]:
        error = printable(job["error"])
        state = printable(job["status"])
        lines.append(f"{printable(job['run'])} is left out: {state}{': ' * bool(error)}{error}")
    for one in content["passed_over"]:
        lines.append(f"{printable(one['folder'])} is passed over: {printable(one['why'])}")
    return lines


def tie_notes(content: Content) -> list[str]:
    """Settings tied with the best, with the data set if there are several."""
    several = len({row["dataset"] for row in content["settings"]}) > 1
    return [
        printable(one["words"] + (f" ({one['dataset']})" if several else ""))
        for one in content["ties"]
    ]


def _tests(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Note on the tests of the differences."""
    gains = [gain for row in rows for gain in (row["gain"], row["difference"]) if gain is not None]
    if not gains:
        return
    tests = {gain["test"] for gain in gains}
    kinds = ["paired t over the seeds"] if PAIRED_T in tests else []
    kinds += [f"one seed: exact McNemar of two models, not of the methods ({MORE_SEEDS})"] * (
        MCNEMAR in tests
    )
    kinds += ["none where a run has no record of correctly classified images"] * (None in tests)
    yield (
        "over control: test accuracy; to the first: validation accuracy; differences in points, "
        f"paired by seed, with 95 % interval and two-sided p ({'; '.join(kinds)})"
    )
    if any(gain["holm"] is not None for gain in gains):
        yield (
            f"p values are Holm-adjusted for the number of settings in a column ({len(rows)} "
            "rows); intervals are not"
        )


def _comparability(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Notes on the limits of comparing rows."""
    if len({row["dataset"] for row in rows}) > 1:
        yield "to the first: within the same data set"
    if any(row["shared_seeds"] is not None for row in rows):
        yield (
            "val and test are means over all seeds of a row, to the first uses only the seeds that "
            "both rows have, so the two may not agree"
        )
    unknown = sum(row["validation"] is None for row in rows)
    if unknown:
        rows_without = "rows without" if unknown < len(rows) else "no"
        yield f"{rows_without} validation images (dataset.val_fraction=0): by training accuracy"
    threads = sorted({row["threads"] for row in rows if row["threads"] is not None})
    if threads:
        counts = " and ".join(map(str, threads)) + f" thread{'s' * (threads != [1])}"
        warning = ", not comparable" if len(threads) > 1 else ""
        yield f"ms: one image on the CPU with {counts}, median over a network's runs{warning}"


def markdown(content: Content) -> str:
    """The comparison as a GitHub Markdown table."""
    names, rows = columns(content), cells(content)

    def line(row: Sequence[str]) -> str:
        return f"| {' | '.join(map(markdown_text, row))} |"

    rule = ["---:" if name in numbers(content) else "---" for name in names]
    return "\n".join([line(names), line(rule), *map(line, rows)])


def csv_text(content: Content) -> str:
    """The comparison as CSV: one row per run, numbers in full precision."""
    buffer = io.StringIO()
    left_out = ("settings", *content["varied"])
    names = [name for name in content["runs"][0] if name not in left_out]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, [*content["varied"], *names]))
    for run in content["runs"]:
        settings = [run["settings"][name] for name in content["varied"]]
        settings = ["" if value == "-" else value for value in settings]
        values = [*settings, *("" if run[n] is None else run[n] for n in names)]
        writer.writerow(map(csv_cell, values))
    return buffer.getvalue().rstrip("\n")


def json_text(content: Content) -> str:
    """The whole comparison as JSON."""
    return json.dumps(content, indent=2, allow_nan=False)
