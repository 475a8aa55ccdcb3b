"""The speed benchmark's tables."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_pair(measured: dict[str, Any]) -> None:
    """Print what was measured of one pair."""
    console = Console()
    console.width = max(console.width, 110)
    size = measured["image_size"]
    console.print(
        f"\n[bold]{measured['pair']}[/bold], {size}x{size}, batch {measured['batch_size']}, "
        f"{measured['rounds']} rounds of {measured['steps_of_a_turn']} steps",
        highlight=False,
    )
    for table in (times_table(measured), ratios_table(measured), phases_table(measured)):
        console.print(table)
    for name, found in measured["phases"].items():
        epoch = found["epoch"]
        console.print(
            f"{name}: kdrun's own {found['own_share']:.1%} of a step; once an epoch "
            f"{epoch['gradient_shares_ms']:.1f} ms for the gradient shares; a checkpoint holds "
            f"training up for {epoch['checkpoint_wait_ms']:.1f} ms and is on the disk after "
            f"{epoch['checkpoint_written_ms']:.1f} ms",
            highlight=False,
        )


def table_of(first: str, *columns: str) -> Table:
    """Numbers to the right of names."""
    table = Table()
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def times_table(measured: dict[str, Any]) -> Table:
    """Milliseconds a step of every contender."""
    table = table_of("", "precision", "ms a step", "quartiles", "images/s", "extra MiB")
    for row in measured["contenders"]:
        found, memory = row["milliseconds"], row["extra_memory_mib"]
        table.add_row(
            row["name"],
            row["precision"],
            f"{found['median']:.1f}",
            f"{found['lower']:.1f} - {found['upper']:.1f}",
            f"{row['images_per_second']:,.0f}",
            "" if memory is None else f"{memory:,.0f}",
        )
    return table


def ratios_table(measured: dict[str, Any]) -> Table:
    """Times of one contender divided by another's of the same round."""
    table = table_of("time of", "divided by that of", "ratio", "quartiles")
    for found in measured["ratios"]:
        table.add_row(
            found["of"],
            found["to"],
            f"{found['median']:.3f}",
            f"{found['lower']:.3f} - {found['upper']:.3f}",
        )
    return table


def phases_table(measured: dict[str, Any]) -> Table:
    """Milliseconds of each phase of kdrun's steps."""
    table = table_of("ms of a phase (median)", *measured["phases"])
    phases = list(measured["phases"].values())
    for name in dict.fromkeys(name for found in phases for name in found["milliseconds"]):
        medians = (found["milliseconds"].get(name) for found in phases)
        table.add_row(name, *("" if m is None else f"{m['median']:.2f}" for m in medians))
    table.add_row("total", *(f"{found['total']['median']:.2f}" for found in phases))
    return table


def levers_table(measured: dict[str, Any]) -> Table:
    """Milliseconds of a student's step with one lever more in each row."""
    table = table_of(measured["pair"], "precision", "ms a step", "quartiles", "gain", "in all")
    for row in measured["levers"]:
        found = row["milliseconds"]
        table.add_row(
            row["name"],
            row["precision"],
            f"{found['median']:.1f}",
            f"{found['lower']:.1f} - {found['upper']:.1f}",
            f"{row['gain']['median']:.2f}",
            f"{row['gain_in_all']['median']:.2f}",
        )
    return table


def print_table(table: Table) -> None:
    """At least as wide as tables of this kind need."""
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
