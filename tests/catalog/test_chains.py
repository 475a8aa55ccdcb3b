"""Rows of chain methods: the plans that they make, and the options that these follow."""

from dataclasses import fields, replace

import pytest

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.rows import readers
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.build import build_plan
from tests.plan.test_identity import digest

SIZES = ChainSizes(
    teacher=860_000,
    student=80_000,
    candidates={"resnet44": 660_000, "resnet32": 470_000, "resnet14": 175_000},
)
OTHERS = {
    "assistants": ["resnet14"],
    "generations": 4,
    "ratio": 1.5,
    "max_assistants": 0,
    "ensemble_control": True,
}
"""Another value of each option that the plan follows; `stop_early` acts during the run."""


@pytest.fixture(scope="module")
def config(make_config):
    return make_config("teacher=resnet56", "student=resnet8")


def planned(config, method, **options):
    """The hashes of the stages, each with its teachers."""
    given = {"assistants": ["resnet32"], "ratio": 3.0} | options
    found = []
    for stage in build_plan(
        replace(config, chain=replace(config.chain, method=method, **given)), SIZES
    ):
        found.append(digest(stage, teachers=[found[place] for place in stage.teachers]))
    return found


@pytest.mark.parametrize("method", CHAIN_METHODS)
def test_a_plan_follows_the_options_that_its_row_reads_and_no_others(config, method):
    before = planned(config, method)
    changed = {
        name for name, value in OTHERS.items() if planned(config, method, **{name: value}) != before
    }
    assert changed == {*CHAIN_METHODS[method].option_names} - {"stop_early"}


def test_every_option_of_a_chain_is_tried_here(config):
    read = {item.name for item in fields(config.chain) if readers(CHAIN_METHODS, item.name)}
    assert read == {*OTHERS, "stop_early"}


@pytest.mark.parametrize("method", CHAIN_METHODS)
def test_no_plan_has_a_stage_beyond_the_last_of_its_row(config, method):
    chain = replace(config.chain, method=method, assistants=["resnet32", "resnet14"])
    stages = build_plan(replace(config, chain=chain), SIZES)
    last = CHAIN_METHODS[method].last_stage(chain)
    assert max(stage.step for stage in stages) <= last
