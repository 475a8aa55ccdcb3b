"""Heat maps with cell values and labels."""

from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import plain


def heat_map(axes: Any, values: Sequence[Sequence[float]], low: float, high: float) -> None:
    """Draw cells with their values, first row on top."""
    from matplotlib import colormaps  # noqa: PLC0415 - slow to import

    axes.pcolormesh(values, cmap="Blues", vmin=low, vmax=high, edgecolors="none")
    axes.invert_yaxis()
    axes.grid(visible=False)
    if len(values) > 12:
        return
    shades = colormaps["Blues"]
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:.2f}".lstrip("0") or "0",
                ha="center",
                va="center",
                color=legible_on(shades((value - low) / (high - low))),
                fontsize=7.5,
            )


def legible_on(colour: Sequence[float]) -> str:
    """Return black or white, with the greater contrast (WCAG 2): 4.5 or more on any colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def ticks(axes: Any, columns: Sequence[object], rows: Sequence[object]) -> None:
    """Set the names as ticks at the cell centres."""
    turned = 60 if max(len(str(name)) for name in columns) > 3 else 0
    places = [[place + 0.5 for place in range(len(names))] for names in (columns, rows)]
    axes.set_xticks(places[0], [plain(name, 16) for name in columns], rotation=turned)
    axes.set_yticks(places[1], [plain(name, 16) for name in rows])
