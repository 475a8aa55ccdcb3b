"""What holds for every row of every table: its code, its options, and what they change."""

import inspect
from dataclasses import fields, replace
from typing import get_type_hints

import pytest
import yaml

from kdrun.catalog.options import Choice
from kdrun.catalog.rows import readers
from kdrun.catalog.tables import TABLES, Table
from kdrun.config.paths import config_folder
from kdrun.config.schema import Config
from kdrun.config.unused_settings import why_idle
from kdrun.plan.build import build_plan
from tests.plan.test_identity import digest

ROWS = [(table, name) for table in TABLES for name in table.rows]
BY_KEY = {table.key: table for table in TABLES}
HASHED = ("temperature.schedule", "train.optimizer", "train.schedule")
GIVEN = {
    "chain.method": {"config", "sizes"},
    "temperature.schedule": {"start", "progress", "epoch"},
    "temperature.method": {"found"},
    "train.optimizer": {"parameters", "lr", "weight_decay", "fused"},
    "train.schedule": {"progress"},
}
"""Arguments that generic code passes to the code of every row."""

COMMON = {
    "chain.method": {"method", "control", "stage"},
    "dataset.name": {"name", "image_size", "val_fraction", "augment", "label_noise", "limit"},
    "temperature.schedule": {"schedule"},
}
"""Options of sections of one table that count for every row."""


def row_id(value):
    return value.key if isinstance(value, Table) else value


def section_of(table):
    return get_type_hints(Config)[table.section]


def another(section, name):
    """Another value of the option."""
    value = getattr(section, name)
    rule = next(item.metadata.get("rule") for item in fields(section) if item.name == name)
    if isinstance(rule, Choice):
        return next(word for word in rule.words if word != value)
    if isinstance(value, bool):
        return not value
    return [*value, 0.9] if isinstance(value, list) else value / 2 if value else 1


@pytest.fixture(scope="module")
def student(make_config):
    """The student of a plain run with other words and options of a section."""
    stage = next(one for one in build_plan(make_config()) if one.role == "student")

    def student(section, **changes):
        return replace(stage, **{section: replace(getattr(stage, section), **changes)})

    return student


@pytest.mark.parametrize(("table", "name"), ROWS, ids=row_id)
def test_the_code_of_a_row_takes_the_options_that_it_reads_and_no_others(table, name):
    row = table.rows[name]
    if row.code is None:
        return
    expected = {*GIVEN.get(table.key, ()), *row.option_names, *row.arguments}
    if table.key in ("chain.method", "temperature.method"):
        # A plan reads its options in the config, and a pilot those of its training.
        expected = GIVEN[table.key]
    if table.key == "dataset.name" and row.files:
        expected = (expected - {"range"}) | {"stop"}  # pixels are scaled when they are decoded
    assert {*inspect.signature(row.load()).parameters} == expected


@pytest.mark.parametrize("table", TABLES, ids=row_id)
def test_every_option_of_a_row_is_one_of_its_section(table):
    declared = {item.name for item in fields(section_of(table))}
    assert {name for row in table.rows.values() for name in row.option_names} <= declared


@pytest.mark.parametrize("key", COMMON)
def test_every_option_of_a_section_is_read_by_a_row_or_common(key):
    table = BY_KEY[key]
    options = {item.name for item in fields(section_of(table))} - COMMON[key]
    assert [name for name in options if not readers(table.rows, name)] == []


@pytest.mark.parametrize("key", COMMON)
def test_every_row_of_a_group_has_a_preset_that_chooses_it(key):
    group, _, chooser = key.partition(".")
    for name in BY_KEY[key].rows:
        preset = yaml.safe_load((config_folder() / group / f"{name}.yaml").read_text())
        assert preset[chooser] == name


@pytest.mark.parametrize(("table", "name"), ROWS, ids=row_id)
def test_an_option_changes_the_hash_of_the_rows_that_read_it(student, table, name):
    if table.key not in HASHED:
        return
    chooser = table.key.rpartition(".")[2]
    plain = student(table.section, **{chooser: name})
    for option in table.rows[name].option_names:
        value = another(getattr(plain, table.section), option)
        changed = student(table.section, **{chooser: name, option: value})
        assert digest(changed) != digest(plain), option


@pytest.mark.parametrize("name", BY_KEY["temperature.schedule"].rows)
def test_an_option_of_another_schedule_keeps_the_hash(student, name):
    table = BY_KEY["temperature.schedule"]
    plain = student("temperature", schedule=name)
    others = {item.name for item in fields(plain.temperature)} - {"schedule"}
    for option in others - {*table.rows[name].option_names}:
        value = another(plain.temperature, option)
        assert digest(student("temperature", schedule=name, **{option: value})) == digest(plain)


@pytest.mark.parametrize(("table", "name"), ROWS, ids=row_id)
def test_what_a_row_does_not_read_is_told_and_nothing_else(make_config, table, name):
    # Where a word of one table chooses the rows of another, these are chosen, and read everything.
    words = {
        "temperature.schedule": "temperature.method=search",
        "temperature.method": "temperature=auto",
    }
    config = make_config(*filter(None, [words.get(table.key)]))
    setattr(getattr(config, table.section), table.key.rpartition(".")[2], name)
    for option in {one for row in table.rows.values() for one in row.option_names}:
        why = why_idle(config, f"{table.section}.{option}")
        if option in (*table.rows[name].option_names, *table.common):
            assert why is None, option
        else:
            assert why == f"{table.key}={name} does not read it", option
