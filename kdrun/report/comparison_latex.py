"""A comparison as a LaTeX table."""

import re

from kdrun.escaping import latex_text
from kdrun.report.comparison_formats import Content, cells, columns, numbers, runs_words
from kdrun.store.summary import chosen_by

_MINUS = re.compile(r"(?<![\w.)\]])-(?=\d)")
"""A hyphen that is the sign of a number, not that of a name or of 1e-05."""

UNITS = {
    "over control": "over control (points)",
    "to the first": "to the first (points)",
    "deviation": "deviation of test",
    "params": "parameters",
    "ms": "latency (ms)",
}
"""Heads with a unit, where there is room for them."""


def latex(content: Content) -> str:
    r"""The comparison as a LaTeX table with booktabs rules and a caption."""
    names, rows = columns(content), cells(content)
    kept = [place for place in range(len(names)) if any(row[place] != "-" for row in rows)]
    heads = [latex_text(UNITS.get(names[place], names[place])) for place in kept]
    body = [[_latex_cell(row[place]) for place in kept] for row in rows]
    right = {place for place in kept if names[place] in numbers(content)}
    form = "".join("r" if place in right else "l" for place in kept)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption(content))}}}",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_cell(text: str) -> str:
    """A cell with a true minus sign, and a dash where there is no value."""
    if text == "-":
        return "--"
    return latex_text(_MINUS.sub("−", text))


def caption(content: Content) -> str:
    """What a comparison shows, as a caption."""
    rows = content["settings"]
    chosen = chosen_by(rows)
    datasets = ", ".join(dict.fromkeys(row["dataset"] for row in rows))
    parts = [
        f"{runs_words(content)} on {datasets}, best mean {chosen} accuracy first",
        f"{'val' if chosen == 'validation' else 'train'}, test: {chosen} and test accuracy, means "
        "over the seeds",
    ]
    if any(row["deviation"] is not None for row in rows):
        parts.append("deviation: standard deviation of test accuracy over the seeds")
    if any(row["gain"] is not None or row["difference"] is not None for row in rows):
        parts.append(
            "differences in percentage points with 95 % interval: over control on test, to the "
            "first on validation"
        )
    if any(row["latency_ms"] is not None for row in rows):
        parts.append("latency of one image on the CPU")
    return "; ".join(parts) + "."
