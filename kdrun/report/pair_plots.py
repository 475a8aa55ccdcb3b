"""Figures of two models side by side, from `analysis.json`."""

from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import (
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
    whole_numbers,
)
from kdrun.report.heat_map import heat_map, ticks
from kdrun.store.summary import stage_title


def probe_plot(pair: dict[str, Any]) -> Plot:
    """Gradient norms of the soft and the hard loss over T, and their cosine."""
    probe = pair["splits"]["test"]["gradient_probe"]
    grid, soft = [float(T) for T in probe["temperatures"]], probe["soft_norm"]
    figure, (upper, lower) = panels(2, 5.0)
    upper.plot(grid, soft, ".-", color=SERIES[1], label="soft, times T²")
    unscaled = [norm / T**2 for norm, T in zip(soft, grid, strict=True)]
    upper.plot(grid, unscaled, ".--", color=SERIES[3], label="soft, without T²")
    upper.axhline(probe["hard_norm"], color=SERIES[2], linestyle=":", label="labels")
    upper.set(yscale="log", title="gradient norm on the logits")
    upper.legend()
    lower.plot(grid, probe["cosine"], ".-", color=SERIES[0], label="mean cosine")
    lower.plot(
        grid, probe["negative_share"], ".--", color=SERIES[5], label="share with a negative cosine"
    )
    lowest = min(0.0, *probe["cosine"]) - 0.05
    lower.set(xlabel="T", title="direction relative to the labels'", ylim=(lowest, 1.05))
    lower.legend()
    logarithmic(upper, lower)
    for axes in (upper, lower):
        mark_temperature(axes, pair["T_range"])
    return finish_plot(
        figure,
        "gradients",
        "Gradient probe over T",
        f"Line charts over T of {label(pair['student'])}. The norm of the soft gradient goes from "
        f"{soft[0]:.3g} at T = {grid[0]:g} to {soft[-1]:.3g} at T = {grid[-1]:g}, that of the "
        f"labels is {probe['hard_norm']:.3g}; the mean cosine from {probe['cosine'][0]:.2f} to "
        f"{probe['cosine'][-1]:.2f}.",
        "T² undoes the decay by 1/T²; it does not align the directions of the two gradients. "
        + temperature_words(pair["T_range"]),
    )


def confusion_plot(
    pair: dict[str, Any], class_names: Sequence[str], models: Sequence[dict[str, Any]] = ()
) -> Plot:
    """Bar chart of the confusions that differ most in number between two models."""
    rows = pair["splits"]["test"]["confusions"][:8]
    names = [f"{class_names[row['label']]} → {class_names[row['decision']]}" for row in rows]
    figure, (axes,) = panels(1, 0.8 + 0.34 * max(3, len(rows)))
    shades = colours([*models, pair["student"], pair["other"]])
    for shift, key in ((-0.2, "student"), (0.2, "other")):
        axes.barh(
            [place + shift for place in range(len(rows))],
            [row[key] for row in rows],
            0.38,
            color=shades[stage_title(pair[key])],
            label=plain(label(pair[key]), 34),
        )
    axes.set_yticks(range(len(rows)), [plain(name, 30) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="test images")
    whole_numbers(axes)
    legend_below(figure, [axes])
    described = "; ".join(
        f"{name}: {row['student']} against {row['other']}"
        for name, row in zip(names, rows, strict=True)
    )
    return finish_plot(
        figure,
        f"confusions-{plain(pair['kind'])}",
        f"Mistakes of {label(pair['student'])} and {label(pair['other'])}",
        f"Bar chart of mistakes, label → decision: {described}.",
        "The mistakes that differ most in number between the two.",
    )


def cka_plot(pair: dict[str, Any]) -> Plot:
    """Heat map of the CKA of every student layer with every teacher layer."""
    inside = pair["inside"]
    rows, columns = inside["student_layers"], inside["teacher_layers"]
    figure, (axes,) = panels(1, 1.6 + 0.3 * len(rows))
    heat_map(axes, inside["cka"], 0.0, 1.0)
    ticks(axes, columns, rows)
    axes.set(xlabel=plain(label(pair["other"]), 40), ylabel=plain(label(pair["student"])))
    last = inside["cka"][-1][-1]
    return finish_plot(
        figure,
        "layers",
        "Layer similarity",
        f"Heat map of linear CKA between {len(rows)} layers of the student and {len(columns)} of "
        f"the teacher; the inputs of the classifiers have {last:.2f}.",
        f"Linear CKA on {inside['images']} test images: 1 for features equal up to rotation and "
        "scale.",
    )


def attention_plot(pair: dict[str, Any]) -> Plot:
    """Mean attention maps of the last matched layer of both."""
    layer = pair["inside"]["attention"][-1]
    figure, axes = panels(2, 6.4)
    for one, key, side in ((axes[0], "student_map", "student"), (axes[1], "teacher_map", "other")):
        table = layer[key]
        one.pcolormesh(table, cmap="Blues")
        one.invert_yaxis()
        one.grid(visible=False)
        tokens = range(0, len(table), max(1, len(table) // 6))
        one.set_xticks([token + 0.5 for token in tokens], tokens)
        one.set_yticks([token + 0.5 for token in tokens], tokens)
        one.set(title=plain(label(pair[side])), xlabel="key", ylabel="query")
    found = layer["information"]
    described = (
        "The models differ in their number of tokens."
        if found is None
        else f"The attended position has {found['student']:.3f} nats of information about the "
        f"image in the student and {found['teacher']:.3f} in the teacher."
    )
    return finish_plot(
        figure,
        "attention",
        "Attention of the last layers",
        f"Mean attention maps over {layer['images']} test images, one below the other. {described}",
        described,
    )
