"""Numbers of settings as people read them."""

import csv
import io
import json

import pytest

from kdrun.report.comparison import compare
from kdrun.report.comparison_formats import csv_text, json_text, markdown
from kdrun.report.comparison_latex import latex
from kdrun.report.comparison_page import lead, write_page
from kdrun.report.shown_settings import short_values, shown_settings
from tests.report.test_comparison import call, made_run


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["6.342964605346", "1"], ["6.343", "1"]),
        (["0.00012345678", "1e-05"], ["0.0001235", "1e-05"]),
        (["-0.7654321098"], ["-0.7654"]),
        (["0.98765", "12345.6"], ["0.98765", "12345.6"]),
        (["12345678", "resnet20.123456789", "1.2.3456789", "-", "[1,2.3456789]"], None),
        (["1.23456789", "1.23459999"], ["1.23457", "1.2346"]),
        (["1.2345678901234567", "1.2345678901234569"], None),
        (["6.3429646", "6.343"], ["6.34296", "6.343"]),
    ],
)
def test_long_fractions_are_short_but_unequal_values_stay_unequal(given, shown):
    assert list(short_values(given).values()) == (shown or given)


def test_rows_keep_everything_but_their_long_numbers():
    rows = [{"settings": {"loss.T": "6.342964605346"}, "test": 0.5}, {"settings": {}, "test": 1}]
    assert shown_settings(rows) == [
        {"settings": {"loss.T": "6.343"}, "test": 0.5},
        {"settings": {}, "test": 1},
    ]
    assert rows[0]["settings"] == {"loss.T": "6.342964605346"}


DRAWN = ("6.342964605346", "6.342964605347", "2.5")


@pytest.fixture
def drawn(finished_run, tmp_path):
    """Runs at temperatures that a sweeper drew; two differ in the last digit."""
    return [
        made_run(finished_run, tmp_path / str(n), [f"loss.T={T}"], 0, 0.9 - 0.1 * n, 0.8, 0.7)
        for n, T in enumerate(DRAWN)
    ]


def test_values_that_differ_in_the_last_digit_are_two_settings(drawn):
    assert len(compare(drawn)["settings"]) == 3


def test_tables_for_people_are_short_and_data_keeps_every_digit(
    drawn, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    drawn = drawn[::2]
    content = compare(drawn)
    page = write_page(drawn, content).read_text()
    assert call("report", *map(str, drawn)) == 0
    shown = (markdown(content), latex(content), page, capsys.readouterr().out, lead(content))
    for text in shown[:4]:
        assert "6.343" in text
        assert DRAWN[0] not in text
    rows = list(csv.DictReader(io.StringIO(csv_text(content))))
    assert {row["loss.T"] for row in rows} == {DRAWN[0], "2.5"}
    found = {row["settings"]["loss.T"] for row in json.loads(json_text(content))["settings"]}
    assert found == {DRAWN[0], "2.5"}
