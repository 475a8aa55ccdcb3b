"""Tables of chains and generations, from `summary.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from kdrun.loggers.tables import add_columns, count, percent, plain_table
from kdrun.report.paired_gain import PairedGain, told
from kdrun.report.result_table import spread


def chain_table(chains: Sequence[Mapping[str, Any]]) -> Table:
    """What each step cost on the test images, mean and deviation over the seeds; sums below."""
    title = "the chain on test images, student less teacher"
    title += "; mean ± deviation" if len(chains) > 1 else ""
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
        spread([cost["loss_difference"] for cost in costs], "{:+.4f}".format),
        spread([100 * cost["error_difference"] for cost in costs], "{:+.2f}".format),
    )


def generations_table(report: Mapping[str, Any]) -> Table:
    """Test accuracy of every generation, its gain over the one before, and the ensembles."""
    table = plain_table(generations_title(report))
    table.add_column("model", no_wrap=True)
    add_columns(table, "test", "gain ± standard error")
    for row in generation_rows(report):
        table.add_row(*row)
    return table


def generations_title(report: Mapping[str, Any]) -> str:
    """How many there are, whether they rise, and what the ensembles stand beside."""
    asked, trained = report["planned"], report["generations"]
    rising, seeds = sum(report["monotone"]), len(report["monotone"])
    parts = [
        f"{trained} generations",
        f"in {rising} of {seeds} seed{'s' * (seeds > 1)} none is worse than the one before",
    ]
    if trained < asked:
        parts.append(f"{asked} were asked for, the last gained no more than noise")
    if "independent" in report:
        parts.append(f"ensembles beside those of {trained} models from labels")
    return "; ".join(parts)


def generation_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, test accuracy over the seeds, and the gain with its standard error.

    A generation's over the one before, an ensemble's over that of as many models from labels alone.
    """
    rows = []
    for generation, accuracies in enumerate(report["test"]):
        gain = told(PairedGain(**report["gains"][generation - 1])) if generation else "-"
        rows.append((f"generation {generation}", spread(accuracies, percent), gain))
    for kind, accuracies in report["ensembles"].items():
        over = "-"
        if "independent" in report:
            over = told(PairedGain(**report["ensemble_gains"][kind]))
        rows.append((f"{kind} ensemble", spread(accuracies, percent), over))
    for kind, accuracies in report.get("independent", {}).items():
        rows.append((f"{kind}, from labels", spread(accuracies, percent), "-"))
    return rows
