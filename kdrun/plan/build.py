"""The plan of a run: the stages that answer its config. Reads no file and builds no model."""

from collections.abc import Sequence
from dataclasses import replace

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.config.schema import Config
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.stage import Stage


def build_plan(config: Config, sizes: ChainSizes | None = None) -> list[Stage]:
    """The stages of a run in the order in which they are trained, teachers first.

    A student whose loss needs no teacher is a plain training run, and is its own control. Of
    several seeds, each stage is trained for all of them before the next.

    Args:
        sizes: what `chain=auto` chooses from; not read otherwise.

    Raises:
        ConfigError: a stage is given options that the chosen chain does not have.
    """
    if not config.seeds:
        return _one_seed(config, sizes)
    plans = [_one_seed(with_seed(config, seed), sizes) for seed in config.seeds]
    return [
        replace(stage, seed=seed, teachers=tuple(len(plans) * i + number for i in stage.teachers))
        for same_stage in zip(*plans, strict=True)
        for number, (seed, stage) in enumerate(zip(config.seeds, same_stage, strict=True))
    ]


def with_seed(config: Config, seed: int) -> Config:
    """The config of one seed of several: the one that a sweep over train.seed has."""
    return replace(config, train=replace(config.train, seed=seed), seeds=[])


def _one_seed(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    stages: list[Stage] = CHAIN_METHODS[config.chain.method].load()(config, sizes)
    return stages


def head_of(stages: Sequence[Stage], place: int) -> tuple[int, ...]:
    """The teachers with which a taught stage's chain begins."""
    teachers = stages[place].teachers
    while above := stages[teachers[0]].teachers:
        teachers = above
    return teachers
