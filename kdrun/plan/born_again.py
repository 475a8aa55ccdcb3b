"""Plans of born-again networks: generations of one architecture (Furlanello et al., 2018)."""

from dataclasses import replace

from kdrun.config.loss_mixture import labels_only
from kdrun.config.schema import Config
from kdrun.config.stage_overrides import stage_options
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.controls import controls, from_labels
from kdrun.plan.models import TEACHER_SEEDS
from kdrun.plan.stage import GENERATION, INDEPENDENT, Stage


def plan_generations(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    """Plan the generations, the models for ensembles from labels, and the controls."""
    generations = [_generation(config, step) for step in range(config.chain.generations)]
    pupils = generations[1:]
    alone = [from_labels(stage, INDEPENDENT) for stage in pupils if config.chain.ensemble_control]
    return [*generations, *alone, *(controls(pupils) if config.chain.control else ())]


def _generation(config: Config, step: int) -> Stage:
    own = stage_options(config, step)
    return Stage(
        role=GENERATION,
        model=config.student,
        # A separate seed, as for all teachers: otherwise all would start from the same weights.
        train=replace(own.train, seed=own.train.seed + TEACHER_SEEDS * step),
        loss=own.loss if step else labels_only(own.loss),
        temperature=own.temperature,
        cache=config.cache,
        teachers=(step - 1,) if step else (),
        step=step,
    )
