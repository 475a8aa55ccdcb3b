"""Tables of chains and generations, from `summary.json`."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.table import Table

from kdrun.loggers.tables import add_columns, count, percent, plain_table
from kdrun.report.gain_words import gain_cell, points_cell, signed
from kdrun.report.gains import recorded_gain
from kdrun.report.paired_gain import paired_gain
from kdrun.report.result_table import spread
from kdrun.store.summary import result_of


def chain_table(chains: Sequence[Mapping[str, Any]]) -> Table:
    """Loss, error and divergence of each step on the test images, over seeds, with totals."""
    title = "the chain on test images, student minus teacher"
    title += "; mean ± deviation, of error [95 %]" if len(chains) > 1 else ""
    table = plain_table(title, spare=("params", "smaller"))
    table.add_column("step")
    add_columns(table, "params", "smaller", "loss", "error points", "√(KL/2)", "agreement")
    for number, step in enumerate(chains[0]["steps"]):
        costs = [chain["steps"][number]["test"] for chain in chains]
        table.add_row(
            f"{number + 1}: {step['teacher']} -> {step['student']}",
            count(step["parameters"]),
            f"{step['ratio']:.3g}x",
            *_differences(costs),
            spread([cost["pinsker"] for cost in costs], "{:.3f}".format),
            spread([cost["agreement"] for cost in costs], percent),
        )
    names = chains[0]["steps"][0]["teacher"], chains[0]["steps"][-1]["student"]
    totals = [chain["total"]["test"] for chain in chains]
    table.add_row(f"whole: {' -> '.join(names)}", "", "", *_differences(totals), style="bold")
    return table


def _differences(costs: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    return (
        spread([cost["loss_difference"] for cost in costs], partial(signed, digits=4)),
        points_cell([100 * cost["error_difference"] for cost in costs]),
    )


def generations_table(summary: Mapping[str, Any]) -> Table:
    """Test accuracy of every generation and ensemble, with gains over the generation before."""
    report = summary["born_again"]
    table = plain_table(generations_title(report))
    table.add_column("model", no_wrap=True)
    several = len(report["monotone"]) > 1
    add_columns(table, "test\n± deviation" if several else "test", "difference\n[95 %]")
    for row in generation_rows(summary):
        table.add_row(*row)
    return table


def generations_title(report: Mapping[str, Any]) -> str:
    """Title of the generations table: their number, monotonicity and the ensembles' baseline."""
    asked, trained = report["planned"], report["generations"]
    rising, seeds = sum(report["monotone"]), len(report["monotone"])
    parts = [
        f"{trained} generations",
        f"in {rising} of {seeds} seed{'s' * (seeds > 1)} none is worse than the one before",
    ]
    if trained < asked:
        parts.append(f"{asked} were planned, the last gained at most one standard error")
    if "independent" in report:
        parts.append(f"ensembles compared with ensembles of {trained} models from labels")
    return "; ".join(parts)


def generation_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, test accuracy over the seeds, and the paired difference with its 95 % interval.

    Generations are compared with the one before, ensembles with ensembles of as many models
    trained on labels alone.
    """
    report, arch = summary["born_again"], result_of(summary)[0]["arch"]
    independent = report.get("independent", {})
    rows, tests = [], report["test"]
    for generation, accuracies in enumerate(tests):
        titles = tuple(f"generation {number} {arch}" for number in (generation, generation - 1))
        over = _difference(summary, titles, accuracies, tests[generation - 1])
        shown = over if generation else "-"
        rows.append((f"generation {generation}", spread(accuracies, percent), shown))
    for kind, accuracies in report["ensembles"].items():
        over = "-"
        if independent:
            over = _difference(summary, ensemble_names(kind), accuracies, independent[kind])
        rows.append((f"{kind} ensemble", spread(accuracies, percent), over))
    for kind, accuracies in independent.items():
        rows.append((f"{kind}, from labels", spread(accuracies, percent), "-"))
    return rows


def ensemble_names(kind: str) -> tuple[str, str]:
    """Names in `gains` of the ensembles of a kind: of generations, and of models from labels."""
    return f"{kind} ensemble", f"{kind} ensemble of models from labels"


def _difference(
    summary: Mapping[str, Any], names: tuple[str, ...], ours: list[float], theirs: list[float]
) -> str:
    """The recorded difference on test, or one from the accuracies for an older run."""
    gain = recorded_gain(summary, names[0], names[1], "test")
    return gain_cell(gain or paired_gain(ours, theirs))
