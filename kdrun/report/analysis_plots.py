"""Figures of what was measured of the finished models, from `analysis.json`."""

from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import SERIES, Plot, colour, finish_plot, label, panels, plain

FEW = 10
"""Images below which the accuracy of a bin says little."""


def probe_plot(pair: dict[str, Any]) -> Plot:
    """Gradient norms of the soft and the hard loss over T, and their cosine."""
    probe = pair["splits"]["test"]["gradient_probe"]
    grid, soft = [float(T) for T in probe["temperatures"]], probe["soft_norm"]
    figure, (left, right) = panels(2, 7.2)
    left.plot(grid, soft, ".-", color=SERIES[1], label="soft, times T²")
    unscaled = [norm / T**2 for norm, T in zip(soft, grid, strict=True)]
    left.plot(grid, unscaled, ".--", color=SERIES[3], label="soft, without T²")
    left.axhline(probe["hard_norm"], color=SERIES[2], linestyle=":", label="labels")
    left.set(xlabel="T", xscale="log", yscale="log", title="gradient norm on the logits")
    left.legend()
    right.plot(grid, probe["cosine"], ".-", color=SERIES[0], label="mean cosine")
    right.plot(grid, probe["negative_share"], ".--", color=SERIES[5], label="share that disagrees")
    right.set(xlabel="T", xscale="log", title="direction against the labels'", ylim=(-0.05, 1.05))
    right.legend()
    for axes in (left, right):
        axes.axvline(float(pair["T"]), color="#7d8590", linewidth=0.8)
    return finish_plot(
        figure,
        "gradients",
        "Gradient probe over T",
        f"Line charts over T of {label(pair['student'])}. The norm of the soft gradient goes from "
        f"{soft[0]:.3g} at T = {grid[0]:g} to {soft[-1]:.3g} at T = {grid[-1]:g}, that of the "
        f"labels is {probe['hard_norm']:.3g}; the mean cosine from {probe['cosine'][0]:.2f} to "
        f"{probe['cosine'][-1]:.2f}.",
        "T² undoes the decay by 1/T²; it does not make the two gradients point the same way. The "
        "upright line is the T of the training.",
    )


def reliability_plot(models: Sequence[dict[str, Any]]) -> Plot:
    """Accuracy by confidence, before and after the calibration temperature."""
    figure, axes = panels(2, 7.2, 3.6)
    told = []
    for one, key, title in (
        (axes[0], "reliability", "as they are"),
        (axes[1], "calibrated_reliability", "at the calibration temperature"),
    ):
        one.plot([0, 1], [0, 1], color="#7d8590", linewidth=0.8)
        for place, model in enumerate(models):
            bins = model["splits"]["test"][key]
            shade = colour(model["role"], place)
            many = [filled for filled in bins if filled["count"] >= FEW]
            one.plot(*_confidence(many), "o-", ms=3, color=shade, label=plain(label(model)))
            one.plot(
                *_confidence([filled for filled in bins if filled["count"] < FEW]),
                *("o",),
                ms=3,
                color=shade,
                alpha=0.3,
            )
        one.set(xlabel="confidence", ylabel="accuracy", title=title, xlim=(0, 1.02), ylim=(0, 1.02))
    axes[0].legend()
    for model in models:
        test = model["splits"]["test"]
        after = test["calibrated_error"]
        told.append(
            f"{label(model)} has an expected calibration error of {test['calibration_error']:.3f}"
            + ("" if after is None else f", {after:.3f} at T = {float(test['calibration_T']):.2f}")
        )
    return finish_plot(
        figure,
        "reliability",
        "Reliability",
        f"Reliability diagrams on the test images before and after calibration: {'; '.join(told)}.",
        f"Below the diagonal a model is surer than it is right. Pale: fewer than {FEW} images.",
    )


def _confidence(bins: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [one["confidence"] for one in bins], [one["accuracy"] for one in bins]


def knowledge_plot(teacher: dict[str, Any]) -> Plot:
    """The bracket of the dark knowledge, over T where it was measured so."""
    splits = teacher["knowledge"]["splits"]
    curve = splits["train"]["curve"]
    figure, (axes,) = panels()
    if curve is None:
        told = _knowledge_brackets(axes, teacher["knowledge"])
    else:
        axes.fill_between(
            curve["temperatures"],
            *([float(value) for value in curve[side]] for side in ("lower", "upper")),
            color=SERIES[0],
            alpha=0.45,
            label="I(X; Ŷ | Y) lies here",
        )
        axes.plot(
            curve["temperatures"], curve["max"], "--", color=SERIES[3], label="most: H(Ŷ | Y)"
        )
        axes.axvline(float(teacher["knowledge"]["T"]), color="#7d8590", linewidth=0.8)
        axes.set(xlabel="T", ylabel="nats", xscale="log", yscale="log")
        axes.legend()
        told = f"At T = {curve['temperatures'][-1]:g} it is at least {curve['lower'][-1]:.3g} nats."
    return finish_plot(
        figure,
        "dark-knowledge",
        f"Dark knowledge of {label(teacher)}",
        f"Between which estimates the information on the image beyond its label lies. {told}",
        "The lower estimate is biased low, the upper high: the truth lies between them.",
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
    axes.set(xlabel="nats; bar: I(X; Ŷ | Y) lies here; cross: the most it could be", xscale="log")
    return " ".join(
        f"{name}: {float(found['lower']):.3g} to {float(found['upper']):.3g} nats."
        for name, found in rows
    )


def heat_map(axes: Any, values: Sequence[Sequence[float]], low: float, high: float) -> None:
    """Cells with their numbers, first row on top."""
    axes.pcolormesh(values, cmap="Blues", vmin=low, vmax=high, edgecolors="none")
    axes.invert_yaxis()
    axes.grid(visible=False)
    if len(values) > 12:
        return
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            dark = value > low + 0.55 * (high - low)
            axes.text(
                *(column + 0.5, row + 0.5, f"{value:.2f}".lstrip("0") or "0"),
                ha="center",
                va="center",
                color="#ffffff" if dark else "#0b2545",
                fontsize=7.5,
            )


def ticks(axes: Any, columns: Sequence[object], rows: Sequence[object]) -> None:
    """Names at the middle of the cells."""
    turned = 60 if max(len(str(name)) for name in columns) > 3 else 0
    places = [[place + 0.5 for place in range(len(names))] for names in (columns, rows)]
    axes.set_xticks(places[0], [plain(name, 16) for name in columns], rotation=turned)
    axes.set_yticks(places[1], [plain(name, 16) for name in rows])


def similarity_plot(teacher: dict[str, Any]) -> Plot:
    """What probability a teacher gives to each class on the images of each class."""
    found = teacher["similarity"]
    classes, table = found["classes"], found["probability"]
    figure, (axes,) = panels(1, 5.6, 5.0)
    others = [v for r, row in enumerate(table) for c, v in enumerate(row) if r != c]
    heat_map(axes, table, 0.0, max([*others, 1e-9]) * 1.6)
    ticks(axes, classes, classes)
    axes.set(xlabel="gets this mean probability", ylabel="images of this class")
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
        f"Classes as {label(teacher)} sees them",
        f"Heat map of mean probabilities at T = {float(found['T']):g} over classes{part}. The "
        f"largest beside the diagonal: {table[row][column]:.3f} from class {classes[row]} to "
        f"{classes[column]}.",
        f"At T = {float(found['T']):g}{part}. What stands beside the diagonal is what the student "
        "learns beyond the label.",
    )


def confusion_plot(pair: dict[str, Any], class_names: Sequence[str]) -> Plot:
    """The mistakes whose numbers differ most between two models."""
    rows = pair["splits"]["test"]["confusions"][:8]
    names = [f"{class_names[row['label']]} → {class_names[row['decision']]}" for row in rows]
    figure, (axes,) = panels(1, 6.2, 0.6 + 0.38 * max(3, len(rows)))
    for shift, key in ((-0.2, "student"), (0.2, "other")):
        axes.barh(
            *([place + shift for place in range(len(rows))], [row[key] for row in rows], 0.38),
            color=colour(pair[key]["role"]),
            label=plain(label(pair[key])),
        )
    axes.set_yticks(range(len(rows)), [plain(name, 30) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="test images")
    axes.legend()
    told = "; ".join(
        f"{name}: {row['student']} against {row['other']}"
        for name, row in zip(names, rows, strict=True)
    )
    return finish_plot(
        figure,
        f"confusions-{plain(pair['kind'])}",
        f"Mistakes of {label(pair['student'])} and {label(pair['other'])}",
        f"Bar chart of mistakes, label → decision: {told}.",
        "The mistakes whose numbers differ most between the two.",
    )


def cka_plot(pair: dict[str, Any]) -> Plot:
    """Similarity of every layer of the student with every layer of the teacher."""
    inside = pair["inside"]
    rows, columns = inside["student_layers"], inside["teacher_layers"]
    figure, (axes,) = panels(1, 5.6, 1.6 + 0.34 * len(rows))
    heat_map(axes, inside["cka"], 0.0, 1.0)
    ticks(axes, columns, rows)
    axes.set(xlabel=plain(label(pair["other"])), ylabel=plain(label(pair["student"])))
    last = inside["cka"][-1][-1]
    return finish_plot(
        figure,
        "layers",
        "Layers that hold the same",
        f"Heat map of linear CKA between {len(rows)} layers of the student and {len(columns)} of "
        f"the teacher; what goes into the classifiers has {last:.2f}.",
        f"Linear CKA on {inside['images']} test images: 1 for features alike up to rotation and "
        "scale.",
    )


def attention_plot(pair: dict[str, Any]) -> Plot:
    """Mean attention maps of the last matched layer of both."""
    layer = pair["inside"]["attention"][-1]
    figure, axes = panels(2, 6.6, 3.4)
    for one, key, side in ((axes[0], "student_map", "student"), (axes[1], "teacher_map", "other")):
        table = layer[key]
        one.pcolormesh(table, cmap="Blues")
        one.invert_yaxis()
        one.grid(visible=False)
        one.set(title=plain(label(pair[side])), xlabel="looked at", ylabel="token")
    found = layer["information"]
    told = (
        "They differ in tokens."
        if found is None
        else f"The position looked at tells {found['student']:.3f} nats of the image in the "
        f"student and {found['teacher']:.3f} in the teacher."
    )
    return finish_plot(
        figure,
        "attention",
        "Where the last layers look",
        f"Mean attention maps over {layer['images']} test images side by side. {told}",
        told,
    )
