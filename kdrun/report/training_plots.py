"""Figures of training, from `metrics.jsonl`."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import (
    DASHES,
    MARK,
    SERIES,
    Plot,
    colours,
    finish_plot,
    label,
    legend_below,
    logarithmic,
    panels,
    plain,
    whole_numbers,
)
from kdrun.store.summary import stage_title

Lines = Sequence[dict[str, Any]]


def by_stage(lines: Lines) -> dict[int, list[dict[str, Any]]]:
    """The epochs of each stage, in order."""
    stages: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        stages[int(line["stage"])].append(line)
    return dict(stages)


def accuracy_plot(lines: Lines) -> Plot:
    """Line chart of every stage's validation accuracy, or training accuracy without validation."""
    stages = by_stage(lines)
    shades = colours([epochs[0] for epochs in stages.values()])
    figure, (axes,) = panels(1, 2.8 + 0.1 * len(shades))
    held_out = all(line["validation_accuracy"] is not None for line in lines)
    key = "validation_accuracy" if held_out else "train_accuracy"
    ends, named = [], set()
    for epochs in stages.values():
        values, name = [100 * line[key] for line in epochs], stage_title(epochs[0])
        axes.plot(
            [line["epoch"] for line in epochs],
            values,
            DASHES.get(epochs[0]["role"], "-"),
            color=shades[name],
            label=None if name in named else plain(name),
            marker="o" if len(values) == 1 else None,
        )
        named.add(name)
        ends.append(f"{label(epochs[0])} ends at {values[-1]:.1f}%")
    which = "validation" if held_out else "training"
    axes.set(xlabel="epoch", ylabel=f"{which} accuracy (%)")
    whole_numbers(axes)
    legend_below(figure, [axes])
    return finish_plot(
        figure,
        "accuracy",
        "Accuracy over epochs",
        f"Line chart of {which} accuracy over epochs: {'; '.join(ends)}.",
        "The student should lie between its control and its teacher."
        + (" A line for each seed." if len(ends) > len(named) else ""),
    )


def loss_plot(lines: Lines, stage: int) -> Plot:
    """Line charts of the weighted terms of a student's loss and of their gradient shares."""
    epochs = by_stage(lines)[stage]
    figure, (upper, lower) = panels(2, 4.4)
    ticks = [line["epoch"] for line in epochs]
    marker = "o" if len(ticks) == 1 else None
    for number, term in enumerate(epochs[0]["terms"]):
        terms = [line["terms"][term] for line in epochs]
        look = {"color": SERIES[number % len(SERIES)], "label": plain(term), "marker": marker}
        upper.plot(ticks, [one["weighted"] for one in terms], **look)
        shares = [one["gradient_share"] for one in terms]
        lower.plot(ticks, [math.nan if s is None else 100 * s for s in shares], **look)
    upper.plot(ticks, [line["loss"] for line in epochs], ":", color=MARK, label="sum")
    upper.set(ylabel="weighted loss", title="loss terms")
    lower.set(xlabel="epoch", ylabel="share (%)", title="share of the gradient", ylim=(0, 103))
    whole_numbers(upper, lower)
    legend_below(figure, [upper], 4)
    names = ", ".join(epochs[0]["terms"])
    return finish_plot(
        figure,
        "losses",
        f"Loss of {label(epochs[0])}",
        f"Two line charts over epochs for the terms {names}: the weighted loss, which goes from "
        f"{epochs[0]['loss']:.3g} to {epochs[-1]['loss']:.3g} in all, and the gradient shares.",
        "A term with a tiny share of the gradient has little effect, whatever its loss.",
    )


def temperature_plot(lines: Lines, stage: int, teacher: dict[str, Any] | None) -> Plot:
    """Line charts of T over epochs, and of the teacher's entropy and confidence over T."""
    epochs = by_stage(lines)[stage]
    rows, height = (1, 2.4) if teacher is None else (2, 4.6)
    figure, axes = panels(rows, height)
    values = [float(line["T"]) for line in epochs]
    axes[0].plot([line["epoch"] for line in epochs], values, color=SERIES[1], marker=".")
    axes[0].set(xlabel="epoch", ylabel="T", title="training temperature")
    axes[0].set_ylim(bottom=0)
    whole_numbers(axes[0])
    described = f"T goes from {values[0]:.3g} to {values[-1]:.3g} over the epochs."
    if teacher is not None:
        curve = teacher["temperature_curve"]
        entropies = axes[1]
        entropies.plot(curve["temperatures"], curve["entropy"], color=SERIES[0], label="entropy")
        twin = entropies.twinx()
        twin.plot(
            curve["temperatures"],
            curve["max_probability"],
            "--",
            color=SERIES[4],
            label="largest probability",
        )
        twin.set(ylim=(0, 1.02), ylabel="probability")
        twin.grid(visible=False)
        entropies.set(xlabel="T", ylabel="nats", title=plain(f"{label(teacher)} softened", 40))
        logarithmic(entropies)
        legend_below(figure, [entropies, twin])
        described += (
            f" The teacher's mean entropy rises from {curve['entropy'][0]:.2f} nats at "
            f"T = {curve['temperatures'][0]:g} to {curve['entropy'][-1]:.2f} at "
            f"T = {curve['temperatures'][-1]:g}."
        )
    return finish_plot(
        figure,
        "temperature",
        "Temperature and entropy",
        f"Line charts. {described}",
        "The entropy never falls with T; near log K the classes are no longer distinguished.",
    )
