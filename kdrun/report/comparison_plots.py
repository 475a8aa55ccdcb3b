"""Figures of several runs: heat map of two settings, gains, accuracy against cost."""

from collections.abc import Mapping, Sequence
from math import isnan
from statistics import mean
from typing import Any

from kdrun.report.figure import MARK, SERIES, Plot, finish_plot, logarithmic, panels, plain
from kdrun.report.gain_words import gain_cell, p_words
from kdrun.report.gains import read_gain
from kdrun.report.heat_map import heat_map, ticks
from kdrun.report.seeds_table import SEED
from kdrun.store.summary import chosen_accuracy, chosen_by

Rows = Sequence[Mapping[str, Any]]
MOST_ROWS = 24
COSTS = (("parameters", "parameters"), ("macs", "MACs"), ("latency_ms", "CPU latency (ms)"))

ALIKE = 1.1
"""Ratio below which costs count as equal."""


def heat_plot(rows: Rows, down: str, across: str) -> Plot:
    """Heat map of the mean selection accuracy over two settings, averaged over all others."""
    chosen = chosen_by(rows)
    values = {
        name: sorted({row["settings"][name] for row in rows}, key=_order) for name in (down, across)
    }
    table = [
        [_mean(rows, chosen, {down: r, across: c}) for c in values[across]] for r in values[down]
    ]
    known = [value for line in table for value in line if not isnan(value)]
    figure, (axes,) = panels(1, 1.4 + 0.4 * len(table))
    heat_map(axes, table, min(known) - 1e-9, max(known) + 1e-9)
    ticks(axes, values[across], values[down])
    axes.set(xlabel=plain(across), ylabel=plain(down))
    best = rows[0]["settings"]
    return finish_plot(
        figure,
        "heat-map",
        f"{chosen.capitalize()} accuracy over {down} and {across}",
        f"Heat map of mean {chosen} accuracy, in percent, from {min(known):.2f} to "
        f"{max(known):.2f}. The best setting has {down} = {best[down]} and "
        f"{across} = {best[across]}.",
        f"Mean {chosen} accuracy in percent, over the seeds and all other settings; it decides "
        "which setting is best.",
    )


def _mean(rows: Rows, chosen: str, wanted: Mapping[str, str]) -> float:
    found = [
        100 * accuracy
        for row in rows
        if all(row["settings"][name] == value for name, value in wanted.items())
        and (accuracy := chosen_accuracy(row, chosen)) is not None
    ]
    return mean(found) if found else float("nan")


def _order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def name_of(row: Mapping[str, Any]) -> str:
    """Name of a row: its settings in one line."""
    return ", ".join(row["settings"].values()) or row["arch"]


def gain_plot(rows: Rows) -> Plot:
    """Dot plot of each setting's gain over its control, with the interval."""
    shown = [row for row in rows if row["gain"] is not None][:MOST_ROWS]
    figure, (axes,) = panels(1, 0.9 + 0.28 * len(shown))
    for place, row in enumerate(shown):
        gain = read_gain(row["gain"])
        ends = (gain.points if end is None else end for end in (gain.low, gain.high))
        axes.errorbar(
            gain.points,
            place,
            xerr=[[abs(gain.points - end)] for end in ends],
            fmt="o",
            color=SERIES[1],
            capsize=3,
            markersize=4,
        )
    axes.axvline(0, color=MARK, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [plain(name_of(row), 34) for row in shown])
    axes.invert_yaxis()
    axes.set(
        xlabel="points of test accuracy over the control",
        ylabel=plain(", ".join(shown[0]["settings"]), 40),
    )
    gains = [(name_of(row), read_gain(row["gain"])) for row in shown[:8]]
    described = "; ".join(f"{name}: {gain_cell(gain)}, {p_words(gain.p)}" for name, gain in gains)
    return finish_plot(
        figure,
        "gains",
        "Difference from the control on test",
        f"Dot plot of differences in points with 95 % intervals. {described}.",
        caption_of_gains(shown),
    )


def caption_of_gains(rows: Rows) -> str:
    """Explanation of the intervals for the tests in use."""
    single = any(row["gain"]["seeds"] == 1 for row in rows)
    bare = any(row["gain"]["low"] is None for row in rows)
    sentences = ["Paired by seed, 95 % intervals: one that covers 0 is not significant."]
    sentences += ["With one seed they compare two models, not the methods."] * single
    sentences += ["A dot without a line has no interval."] * bare
    return " ".join(sentences)


def costs_of(rows: Rows) -> list[tuple[str, str]]:
    """The costs that are known for every row and differ between networks."""
    if len({(row["parameters"], row["macs"]) for row in rows}) == 1:
        return []  # one network: its latency varies by measurement noise only
    known = [cost for cost in COSTS if all(row[cost[0]] is not None for row in rows)]
    if len({row["threads"] for row in rows}) > 1:
        known = [cost for cost in known if cost[0] != "latency_ms"]
    values = {cost: [row[cost[0]] for row in rows] for cost in known}
    return [cost for cost in known if max(values[cost]) > ALIKE * min(values[cost])]


def pareto_plot(rows: Rows) -> Plot:
    """Test accuracy against parameters, MACs and latency, with the Pareto front."""
    costs = costs_of(rows)
    figure, axes = panels(len(costs), 2.6 * len(costs))
    fronts = []
    for one, (key, words) in zip(axes, costs, strict=True):
        front = pareto(rows, key)
        one.scatter(
            [row[key] for row in rows], [100 * row["test"] for row in rows], s=18, color=SERIES[2]
        )
        one.plot(
            [row[key] for row in front],
            [100 * row["test"] for row in front],
            "o-",
            color=SERIES[1],
            markersize=5,
        )
        one.set(xlabel=words, ylabel="test accuracy (%)")
        logarithmic(one)
        fronts.append(f"{words}: {', '.join(name_of(row) for row in front[:6])}")
    return finish_plot(
        figure,
        "pareto",
        "Accuracy and its cost",
        f"Scatter plots of test accuracy by cost. Pareto front, by {'; '.join(fronts)}.",
        "On the line: no other is both cheaper and better.",
    )


def pareto(rows: Rows, cost: str) -> list[Mapping[str, Any]]:
    """The rows on the Pareto front of test accuracy and cost, cheapest first."""
    front: list[Mapping[str, Any]] = []
    for row in sorted(rows, key=lambda one: (one[cost], -one["test"])):
        if not front or row["test"] > front[-1]["test"]:
            front.append(row)
    return front


def two_settings(varied: Sequence[str]) -> tuple[str, str] | None:
    """The settings of the heat map: alpha and T if varied, else the first two."""
    names = [name for name in varied if name != SEED]
    first = [name for name in ("loss.alpha", "loss.T") if name in names]
    chosen = [*first, *(name for name in names if name not in first)]
    return (chosen[0], chosen[1]) if len(chosen) > 1 else None
