"""Shapes name the first place where data is another than it should be."""

import pytest

from kdrun.errors import DamagedError
from kdrun.store.files import write_sealed
from kdrun.store.shapes import (
    COUNT,
    FRACTION,
    TEMPERATURE,
    TEXT,
    Each,
    Maybe,
    Some,
    faults,
    read_shaped,
    read_shaped_lines,
)

SHAPE = {"a": Some({"b": FRACTION, "c?": Maybe(TEXT)}), "d": Each(COUNT), "T?": TEMPERATURE}
RIGHT = {"a": [{"b": 0.5}, {"b": 1, "c": None, "more": []}], "d": {"x": 0}, "T": "inf"}


def test_what_has_the_shape_has_no_fault():
    assert list(faults(RIGHT, SHAPE)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": []}, "a has 0 entries, not 1 or more"),
        ({"a": [{"b": 0.5}, {}]}, "a[1].b is missing"),
        ({"a": [{"b": 1.5}]}, "a[0].b is 1.5, not a number from 0 to 1"),
        ({"a": [{"b": True}]}, "a[0].b is True, not a number from 0 to 1"),
        ({"a": [{"b": 0, "c": 7}]}, "a[0].c is 7, not text"),
        ({"a": {}}, "a is an object, not a list"),
        ({"d": {"x": -1}}, "d.x is -1, not an integer >= 0"),
        ({"d": [1]}, "d is a list, not an object"),
        ({"T": "cold"}, "T is 'cold', not a temperature"),
    ],
)
def test_the_place_and_what_it_should_be_are_told(change, told, tmp_path):
    assert next(faults(RIGHT | change, SHAPE)) == told
    write_sealed(tmp_path / "x.json", RIGHT | change)
    with pytest.raises(DamagedError) as raised:
        read_shaped(tmp_path / "x.json", SHAPE)
    assert str(raised.value) == f"{tmp_path / 'x.json'} is damaged: {told}"


def test_of_lines_the_number_is_told(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"b": 0}\n{"b": 2}\n')
    with pytest.raises(DamagedError, match="in line 2 b is 2"):
        read_shaped_lines(tmp_path / "x.jsonl", {"b": FRACTION})
