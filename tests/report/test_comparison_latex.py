"""A comparison as a LaTeX table."""

import re

import pytest

from kdrun.report.comparison import compare
from kdrun.report.comparison_latex import latex
from tests.report.test_comparison import made_run


@pytest.fixture
def text(finished_run, tmp_path):
    """The table of two runs that lose and gain over their controls; names with hyphens."""
    for number, (rate, test) in enumerate((("-0.5", 0.7), ("1e-05", 0.9))):
        overrides = [f"train.lr={rate}", f"+note=a-{number}", "teacher=con-1"]
        made_run(finished_run, tmp_path / str(number), overrides, 0, 0.8, test, 0.8)
    return latex(compare([tmp_path / "0", tmp_path / "1"]))


def rows_of(text):
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r"\\")]
    return [line.split(" & ") for line in lines]


def test_negative_numbers_have_a_true_minus_and_names_keep_their_hyphens(text):
    head, first, second = rows_of(text)
    rates = {row[head.index("train.lr")] for row in (first, second)}
    assert rates == {"$-$0.5", "1e-05"}
    assert {row[head.index("note")] for row in (first, second)} == {"a-0", "a-1"}
    gains = " ".join(row[head.index("over control (points)")] for row in (first, second))
    assert "$-$10.00 [$-$" in gains
    assert "+10.00 [" in gains
    assert not re.search(r"(?<![\w$])-\d", text)


def test_every_column_is_there_once_and_none_is_empty(text):
    head, *rows = rows_of(text)
    assert len(set(head)) == len(head)
    assert "latency (ms)" in head
    assert "deviation of test" not in head  # one seed has none
    for place in range(len(head)):
        assert any(row[place] != "--" for row in rows)
    (form,) = re.findall(r"\\begin{tabular}{([lr]+)}", text)
    assert len(form) == len(head)


def test_the_caption_says_what_is_shown(text):
    (caption,) = re.findall(r"\\caption{(.*)}", text)
    assert caption.startswith("2 runs on digits, best mean validation accuracy first; ")
    assert "percentage points with 95 \\% interval" in caption
    assert text.index("caption") < text.index("tabular")
    assert text.splitlines()[0] == r"\begin{table}"
    assert text.splitlines()[-1] == r"\end{table}"
