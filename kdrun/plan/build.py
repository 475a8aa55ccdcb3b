"""Plan of a run: its stages, made from the config. Reads no file and builds no model."""

from collections.abc import Sequence
from dataclasses import replace

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.config.schema import Config
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.stage import Stage


def build_plan(config: Config, sizes: ChainSizes | None = None) -> list[Stage]:
    """Return the stages of a run in training order, teachers first.

    A student whose loss needs no teacher is a plain training run, and its own control. With
    several seeds, each stage is trained for all seeds before the next stage.

    Args:
        sizes: candidates of `chain=auto`; unused otherwise.

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
    """Return the config of a single seed, as in a sweep over train.seed."""
    return replace(config, train=replace(config.train, seed=seed), seeds=[])


def _one_seed(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    stages: list[Stage] = CHAIN_METHODS[config.chain.method].load()(config, sizes)
    return stages


def head_of(stages: Sequence[Stage], place: int) -> tuple[int, ...]:
    """Return the positions of the first teachers of a taught stage's chain."""
    teachers = stages[place].teachers
    while above := stages[teachers[0]].teachers:
        teachers = above
    return teachers
