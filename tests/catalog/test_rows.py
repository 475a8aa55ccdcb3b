"""Rows of the catalog and the options that they add to a section."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from kdrun.catalog.options import real, whole
from kdrun.catalog.rows import Row, load_code, own_options, readers, with_options

ROWS = {
    "plain": Row(code="math:sqrt"),
    "curved": Row(reads=("end",), options={"power": real(2.0, "of the curve", 0, 9)}),
    "stepped": Row(reads=("end", "every"), options={"most": whole(3, "steps", 1, 9)}),
}


def test_the_code_of_a_row_is_imported_by_its_name():
    assert ROWS["plain"].load()(9) == load_code("math:sqrt")(9) == 3


def test_a_row_reads_what_it_names_and_what_it_adds():
    section = SimpleNamespace(end=1.0, every=5, power=4.0, most=2)
    assert ROWS["curved"].values(section) == {"end": 1.0, "power": 4.0}
    assert ROWS["plain"].values(section) == {}
    assert readers(ROWS, "end") == ("curved", "stepped")
    assert readers(ROWS, "power") == ("curved",)


def test_a_section_holds_the_options_that_rows_add_beside_its_own():
    @dataclass
    @with_options(own_options(ROWS))
    class Section:
        end: float = 1.0

    section = OmegaConf.structured(Section)
    assert OmegaConf.to_container(section) == {"end": 1.0, "power": 2.0, "most": 3}
    with pytest.raises(ValidationError):
        section.most = "many"


def test_a_row_takes_its_options_from_what_is_given_its_own_by_default():
    row = ROWS["curved"]
    assert row.chosen({"end": 1.0, "every": 5}, {}) == {"end": 1.0, "power": 2.0}
    assert row.chosen({"end": 1.0}, {"power": 4.0}) == {"end": 1.0, "power": 4.0}
    with pytest.raises(TypeError, match="no option 'powr'; did you mean 'power'"):
        row.chosen({"end": 1.0}, {"powr": 4.0})
