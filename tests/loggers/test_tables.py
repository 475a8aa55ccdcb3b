"""Tables in terminals of any width: no number is cut."""

from io import StringIO

import pytest
from rich.console import Console

from kdrun.loggers.tables import PrintableConsole, add_columns, add_settings, plain_table
from kdrun.report.chain_tables import generations_table


def printed(table, width):
    out = StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def wide():
    table = plain_table("title", spare=("seconds", "least"))
    table.add_column("stage", no_wrap=True)
    add_columns(table, "most", "least", "seconds")
    table.add_row("student resnet8", "97.77% ± 1.23", "12.34% ± 2.34", "0:07")
    return table


@pytest.mark.parametrize(
    ("width", "gone"), [(80, ()), (50, ("seconds",)), (40, ("seconds", "least"))]
)
def test_columns_are_left_out_in_their_order_and_named(width, gone):
    out = printed(wide(), width)
    assert "…" not in out
    assert "97.77% ± 1.23" in out
    assert ("12.34% ± 2.34" in out) == ("least" not in gone)
    assert ("0:07" in out) == ("seconds" not in gone)
    assert (f"no room for {', '.join(gone)}" in out) == bool(gone)


def test_a_table_can_be_printed_again_in_another_width():
    table = wide()
    narrow, whole = printed(table, 40), printed(table, 80)
    assert "0:07" in whole
    assert printed(table, 40) == narrow


def test_the_table_of_generations_fits_80_columns_with_all_its_numbers():
    report = {
        **{"generations": 2, "planned": 3, "test": [[0.8, 0.9], [0.81, 0.91]]},
        **{"monotone": [True, False], "ensembles": {"arithmetic": [0.9, 0.92]}},
        **{"independent": {"arithmetic": [0.93, 0.95]}},
    }
    stages = [{"role": "generation", "step": step, "arch": "mlp"} for step in (0, 1)]
    gain = {"model": "generation 1 mlp", "over": "generation 0 mlp", "split": "test"}
    gain |= {"points": -3.01, "low": -12.34, "high": 6.32, "p": 0.15, "test": "paired_t"}
    gain |= {"seeds": 2, "only_ours": None, "only_theirs": None}
    summary = {"born_again": report, "stages": stages, "gains": [gain], "seeds": [0, 1]}
    out = printed(generations_table(summary), 80)
    assert "…" not in out
    for part in (
        *("2 generations; in 1 of 2 seeds none is worse than the one before", "3 were planned"),
        *(
            "85.00% ± 7.07",
            "−3.01 [−12.34, +6.32]",
            "arithmetic ensemble",
            "arithmetic, from labels",
        ),
    ):
        assert part in " ".join(out.split()), part


def settings_table(*names):
    table = plain_table("title")
    cells = add_settings(table, names)
    add_columns(table, "test")
    table.add_row(*cells(dict.fromkeys(names[:-1], "1")), "97.77%")
    return printed(table, 80)


def test_a_few_settings_have_columns_of_their_own_with_long_names_on_several_lines():
    lines = settings_table("loss.T", "teacher.min_accuracy").splitlines()
    assert [line.split() for line in lines[3:5]] == [
        ["teacher."],
        ["loss.T", "min_accuracy", "test"],
    ]
    assert lines[6].split() == ["1", "97.77%"]


def test_many_settings_share_a_column():
    out = settings_table("loss.T", "loss.alpha", "student", "train.seed", "teacher")
    assert "loss.T=1 loss.alpha=1 student=1 train.seed=1  97.77%" in out
    assert "teacher" not in out  # which the row does not tell


def test_no_cell_of_a_table_steers_the_terminal(capsys):
    table = plain_table("runs \x1b[2J")
    table.add_column("arch\u202e")
    table.add_row("mlp\x1b]0;title\x07")
    PrintableConsole(width=60, force_terminal=True, color_system=None).print(table)
    printed = capsys.readouterr().out
    assert "runs ?[2J" in printed
    assert "mlp?]0;title?" in printed
    assert not set("\x1b\x07\u202e") & set(printed.replace("\x1b[1m", "").replace("\x1b[0m", ""))
