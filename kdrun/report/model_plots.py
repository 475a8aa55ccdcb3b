"""Figures of single models, from `analysis.json`."""

from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import (
    MARK,
    SERIES,
    Plot,
    colours,
    finish_plot,
    label,
    legend_below,
    logarithmic,
    mark_temperature,
    panels,
    plain,
    temperature_words,
)
from kdrun.report.heat_map import heat_map, ticks
from kdrun.store.summary import stage_title

FEW = 10
"""Least images of a bin with a meaningful accuracy."""


def reliability_plot(models: Sequence[dict[str, Any]]) -> Plot:
    """Accuracy by confidence, before and after the calibration temperature."""
    figure, axes = panels(2, 5.4)
    shades = colours(models)
    described = []
    for one, key, title in (
        (axes[0], "reliability", "uncalibrated"),
        (axes[1], "calibrated_reliability", "at the calibration temperature"),
    ):
        one.plot([0, 1], [0, 1], color=MARK, linewidth=0.8)
        for model in models:
            bins = model["splits"]["test"][key]
            shade = shades[stage_title(model)]
            many = [filled for filled in bins if filled["count"] >= FEW]
            one.plot(*_confidence(many), "o-", ms=3, color=shade, label=plain(stage_title(model)))
            one.plot(
                *_confidence([filled for filled in bins if filled["count"] < FEW]),
                "o",
                ms=3,
                color=shade,
                alpha=0.3,
            )
        one.set(ylabel="accuracy", title=title, xlim=(0, 1.02), ylim=(0, 1.02))
    axes[1].set_xlabel("confidence")
    legend_below(figure, axes[:1])
    for model in models:
        test = model["splits"]["test"]
        after = test["calibrated_error"]
        described.append(
            f"{label(model)} has an expected calibration error of {test['calibration_error']:.3f}"
            + ("" if after is None else f", {after:.3f} at T = {float(test['calibration_T']):.2f}")
        )
    return finish_plot(
        figure,
        "reliability",
        "Reliability",
        "Reliability diagrams on the test images before and after calibration: "
        f"{'; '.join(described)}.",
        f"Below the diagonal a model is overconfident. Pale: fewer than {FEW} images.",
    )


def _confidence(bins: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [one["confidence"] for one in bins], [one["accuracy"] for one in bins]


def knowledge_plot(teacher: dict[str, Any]) -> Plot:
    """Lower and upper estimate of the dark knowledge, over T if measured."""
    splits = teacher["knowledge"]["splits"]
    curve = splits["train"]["curve"]
    figure, (axes,) = panels()
    if curve is None:
        described, marked = _knowledge_brackets(axes, teacher["knowledge"]), ""
    else:
        axes.fill_between(
            curve["temperatures"],
            *([float(value) for value in curve[side]] for side in ("lower", "upper")),
            color=SERIES[0],
            alpha=0.45,
            label="range of I(X; Ŷ | Y)",
        )
        axes.plot(
            curve["temperatures"], curve["max"], "--", color=SERIES[3], label="maximum: H(Ŷ | Y)"
        )
        mark_temperature(axes, teacher["knowledge"]["T_range"])
        axes.set(xlabel="T", ylabel="nats", yscale="log")
        logarithmic(axes)
        axes.legend()
        marked = temperature_words(teacher["knowledge"]["T_range"])
        described = (
            f"At T = {curve['temperatures'][-1]:g} it is at least {curve['lower'][-1]:.3g} nats."
        )
    return finish_plot(
        figure,
        "dark-knowledge",
        f"Dark knowledge of {label(teacher)}",
        f"Estimates of the information about the image beyond its label. {described}",
        "The lower estimate is biased low, the upper high: on average they bracket the true value. "
        f"{marked}",
    )


def _knowledge_brackets(axes: Any, knowledge: dict[str, Any]) -> str:
    rows = [
        (f"{split}, T = {T:g}", found[key])
        for split, found in knowledge["splits"].items()
        for key, T in (("at_1", 1.0), ("at_T", float(knowledge["T"])))
    ]
    for place, (_, found) in enumerate(rows):
        low, high = float(found["lower"]), float(found["upper"])
        axes.plot([low, high], [place, place], "|-", color=SERIES[0], linewidth=4, markersize=11)
        axes.plot([found["max"]], [place], "x", color=SERIES[3])
    axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    axes.invert_yaxis()
    # At T = inf only rounding is left.
    least = max(1e-6, 0.5 * min(float(found["lower"]) for _, found in rows))
    axes.set_xlim(least, 1.5 * max(least, *(float(found["max"]) for _, found in rows)))
    axes.set(xlabel="nats; bar: range of I(X; Ŷ | Y)\ncross: its maximum", xscale="log")
    return " ".join(
        f"{name}: {float(found['lower']):.3g} to {float(found['upper']):.3g} nats."
        for name, found in rows
    )


def similarity_plot(teacher: dict[str, Any]) -> Plot:
    """Mean probability that a teacher gives to each class on the images of each class."""
    found = teacher["similarity"]
    classes, table = found["classes"], found["probability"]
    figure, (axes,) = panels(1, 4.6)
    others = [v for r, row in enumerate(table) for c, v in enumerate(row) if r != c]
    heat_map(axes, table, 0.0, max([*others, 1e-9]) * 1.6)
    ticks(axes, classes, classes)
    axes.set(xlabel="mean probability of this class", ylabel="images of this class")
    part = (
        ""
        if len(classes) == found["of"]
        else f", the {len(classes)} most confused of {found['of']}"
    )
    row, column = max(
        ((r, c) for r in range(len(classes)) for c in range(len(classes)) if r != c),
        key=lambda cell: table[cell[0]][cell[1]],
    )
    return finish_plot(
        figure,
        "class-similarity",
        f"Class similarity of {label(teacher)}",
        f"Heat map of mean probabilities at T = {float(found['T']):g} over classes{part}. The "
        f"largest off-diagonal entry: {table[row][column]:.3f} from class {classes[row]} to "
        f"{classes[column]}.",
        f"At T = {float(found['T']):g}{part}. The off-diagonal entries are what the student learns "
        "beyond the label.",
    )
