"""Text of strangers: nothing of it steers a terminal, a spreadsheet, Markdown or LaTeX."""

import csv
import io
import sys

import pytest

from kdrun.escaping import (
    csv_cell,
    latex_text,
    markdown_text,
    printable,
    printable_lines,
    printable_page,
    show,
    write_any_text,
)

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
BIDI = [chr(code) for code in (0x202A, 0x202E, 0x2066, 0x2069, 0x200F, 0x2028, 0xD800)]


@pytest.mark.parametrize("sign", CONTROLS + BIDI)
def test_a_control_is_shown_as_a_question_mark(sign):
    assert printable(f"a{sign}b") == "a?b"


def test_text_of_any_script_is_shown_as_it_is():
    text = "Zürich 東京\u3000駅 עברית می‌خواهم 👩‍🔬 ≤ ±"
    assert printable(text) == text


def test_lines_stay_lines_and_nothing_clears_the_screen(capsys):
    assert printable_lines("a\r\nb\x1b[2J") == "a?\nb?[2J"
    show("a\nb\x1b]0;title\x07")
    assert capsys.readouterr().out == "a\nb?]0;title?\n"


@pytest.mark.parametrize("formula", ["=cmd()", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_is_text_in_a_spreadsheet(formula):
    buffer = io.StringIO()
    csv.writer(buffer).writerow([csv_cell(formula)])
    (cell,) = next(csv.reader(io.StringIO(buffer.getvalue())))
    assert cell.startswith("'")


@pytest.mark.parametrize("number", [-1.5, "-1.5", "+2", "1e-3", "-inf", 7, "", None])
def test_numbers_in_a_spreadsheet_stay_numbers(number):
    assert csv_cell(number) == number


def test_markdown_shows_tags_tables_and_entities_as_they_are():
    assert markdown_text("<img src=x>|a|`b`\n[c](d) &lt; $x$") == (
        r"\<img src=x\>\|a\|\`b\` \[c\](d) \&lt; \$x\$"
    )


def test_latex_runs_no_command():
    assert latex_text(r"\input{x} 5% & ~^") == (
        r"\textbackslash{}input\{x\} 5\% \& \textasciitilde{}\textasciicircum{}"
    )


def test_a_page_has_no_controls_but_line_ends_and_tabs():
    assert printable_page("a\tb\nc\x1b[2J\x9b\u202e") == "a\tb\nc?[2J??"


def test_a_stream_writes_what_its_encoding_lacks_as_a_question_mark(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    write_any_text()
    show("−21.00 ±")
    stream.flush()
    assert stream.buffer.getvalue() == b"?21.00 ?\n"
