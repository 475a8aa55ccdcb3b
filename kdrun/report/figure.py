"""Figures in one style, as files and as inline SVG in the page's theme."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kdrun.escaping import printable, printable_page
from kdrun.loggers.tables import count
from kdrun.report.fonts import installed_fallbacks, quiet_fonts
from kdrun.store.summary import stage_title

# Placeholders that the page replaces by its own colours.
INK, LINE = "#1b1f24", "#d0d7de"

# Legible on white and on near-black; the dashes distinguish the roles without colour.
COLOURS = {
    "teacher": "#2f7fd0",
    "student": "#d9730d",
    "control": "#7d8590",
    "assistant": "#9b6ad6",
    "direct": "#2a9d6f",
}
DASHES = {"teacher": "--", "control": ":", "direct": "-.", "independent": "--"}
SERIES = (*COLOURS.values(), "#d64550")
WIDTH = 4.8
"""Width of every figure in inches."""

MARK = COLOURS["control"]
"""Colour of reference lines."""

RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kdrun",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Plot:
    """A finished figure.

    Attributes:
        name: stem of its files.
        alt: text alternative for screen readers.
        caption: explanation for readers.
        inline: SVG for the page.
    """

    name: str
    title: str
    alt: str
    caption: str
    inline: Markup
    svg: bytes
    png: bytes


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the common style to figures made and saved in the block.

    Glyphs that the usual font lacks are taken from other installed fonts. Without such a font a PNG
    has boxes in their place; the text of an SVG is drawn by the browser with its own fonts.
    """
    import matplotlib  # noqa: PLC0415 - slow to import, and only needed for figures

    style = RC | {"font.family": [RC["font.family"], *installed_fallbacks()]}
    with matplotlib.rc_context(style), quiet_fonts(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        yield


def panels(rows: int = 1, height: float = 3.0) -> tuple[Any, list[Any]]:
    """Create a figure with stacked axes, without pyplot, which would keep a reference to it.

    Narrow, so that it can be read on a phone without scrolling.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def legend_below(figure: Any, axes: Sequence[Any], columns: int = 2) -> None:
    """Add one legend for the axes, below the figure."""
    handles = [handle for one in axes for handle in one.get_legend_handles_labels()[0]]
    names = [name for one in axes for name in one.get_legend_handles_labels()[1]]
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def plain(text: object, most: int = 24) -> str:
    """Return text that matplotlib takes literally: one line, no formulas, limited length."""
    words = printable(" ".join(str(text).split()))
    words = words if len(words) <= most else words[: most - 1] + "…"
    return words.replace("$", r"\$")


def whole_numbers(*axes: Any) -> None:
    """Set integer ticks on the x axes."""
    for one in axes:
        one.xaxis.get_major_locator().set_params(integer=True)


def logarithmic(*axes: Any) -> None:
    """Set a log scale with plain numbers on the x axes: 1, 2, 5, 10, 20."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415

    for one in axes:
        one.set_xscale("log")
        one.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        one.xaxis.set_minor_locator(NullLocator())
        one.xaxis.set_major_formatter(FuncFormatter(lambda value, place: count(value)))


def mark_temperature(axes: Any, used: Sequence[float | str] | None) -> None:
    """Draw the T used in training as a vertical line or a band."""
    if used is not None:
        low, high = map(float, used)
        axes.axvline(low, color=MARK, linewidth=0.8)
        if high > low:
            axes.axvline(high, color=MARK, linewidth=0.8)
            axes.axvspan(low, high, color=MARK, alpha=0.15, linewidth=0)


def temperature_words(used: Sequence[float | str] | None) -> str:
    """Explanation of the mark that `mark_temperature` draws."""
    if used is None:
        return "The training used no T."
    low, high = map(float, used)
    if high > low:
        return f"The band is the range of T in training, {low:.3g} to {high:.3g}."
    return f"The vertical line is T in training, {low:.3g}."


def finish_plot(figure: Any, name: str, title: str, alt: str, caption: str) -> Plot:
    """Render the figure in every form."""
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the layout of the SVG is kept
    figure.savefig(png, format="png", dpi=144, facecolor="white")
    text = printable_page(svg.getvalue().decode())
    white = text.replace("<defs>", '<rect width="100%" height="100%" fill="white"/><defs>', 1)
    return Plot(name, title, alt, caption, inlined(text, name), white.encode(), png.getvalue())


def inlined(svg: str, name: str) -> Markup:
    """Return the SVG element in the page's colours, with identifiers unique to the figure.

    Safe to insert: matplotlib escapes its text.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = body.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    return Markup(body.replace(INK, "currentColor").replace(LINE, "var(--line)"))


def label(stage: dict[str, Any]) -> str:
    """Name of a stage in figures and tables: `student mlp`, with its seed if there are several."""
    seed = f" seed {stage['seed']}" if "seed" in stage else ""
    return f"{stage_title(stage)}{seed}"


def colours(stages: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Map titles to their roles' colours; further titles of a role get unused colours."""
    roles = {stage_title(stage): stage["role"] for stage in stages}
    first = {role: title for title, role in reversed(roles.items()) if role in COLOURS}
    found = {title: COLOURS[role] for role, title in first.items()}
    free = [one for one in SERIES if one not in (*found.values(), MARK)] or list(SERIES)
    rest = [title for title in roles if title not in found]
    return found | {title: free[n % len(free)] for n, title in enumerate(rest)}
