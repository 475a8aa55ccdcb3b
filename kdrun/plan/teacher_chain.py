"""Plans from the teacher to the student, directly or through assistants."""

from collections.abc import Sequence
from dataclasses import replace

from kdrun.config.loss_mixture import labels_only, needs_teacher
from kdrun.config.schema import Config
from kdrun.config.stage_overrides import stage_options
from kdrun.errors import ConfigError
from kdrun.plan.assistants import ChainSizes, choose_assistants
from kdrun.plan.controls import controls
from kdrun.plan.models import assistant_model, teacher_models, teacher_train
from kdrun.plan.stage import ASSISTANT, STUDENT, TEACHER, Stage


def plan_direct(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    """Plan teacher and student; a student whose loss needs no teacher is a plain training run."""
    own = stage_options(config, 1)
    if needs_teacher(own.loss):
        return taught(config, [])
    return [
        Stage(
            role=STUDENT,
            model=config.student,
            train=own.train,
            loss=own.loss,
            temperature=own.temperature,
            cache=config.cache,
        )
    ]


def plan_assistants(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    """Plan teacher, the named assistants, and student."""
    return taught(config, config.chain.assistants)


def plan_by_size(config: Config, sizes: ChainSizes | None) -> list[Stage]:
    """Plan teacher, assistants chosen by size, and student.

    Raises:
        ConfigError: a stage is given options that the chosen chain does not have.
    """
    assert sizes is not None
    chain = config.chain
    chosen = choose_assistants(
        sizes.teacher, sizes.student, sizes.candidates, chain.ratio, chain.max_assistants
    )
    beyond = [position for position in chain.stage if int(position) > len(chosen) + 1]
    if beyond:
        raise ConfigError(
            f"chain.stage.{beyond[0]}: chain={chain.method} chose {chosen}, so the last stage "
            f"is {len(chosen) + 1}"
        )
    return taught(config, chosen)


def taught(config: Config, assistants: Sequence[str]) -> list[Stage]:
    """Plan the teachers, the models taught one by another, and the controls."""
    teachers = _teachers(config)
    models = [*(assistant_model(config.teacher, name) for name in assistants), config.student]
    pupils: list[Stage] = []
    for step, model in enumerate(models, 1):
        own = stage_options(config, step)
        first = step == 1
        pupils.append(
            Stage(
                role=STUDENT if step == len(models) else ASSISTANT,
                model=model,
                train=own.train,
                loss=own.loss,
                temperature=own.temperature,
                cache=config.cache,
                teachers=tuple(range(len(teachers))) if first else (len(teachers) + step - 2,),
                teacher_weights=tuple(config.teacher.ensemble_weights) if first else (),
                step=step,
            )
        )
    return [*teachers, *pupils, *(controls(pupils) if config.chain.control else ())]


def _teachers(config: Config) -> list[Stage]:
    own = stage_options(config, 0)
    unsmoothed = replace(labels_only(own.loss), label_smoothing=0.0)
    return [
        Stage(
            role=TEACHER,
            model=model,
            train=teacher_train(own.train, number),
            loss=unsmoothed,
            temperature=own.temperature,
            step=0,
        )
        for number, model in enumerate(teacher_models(config.teacher))
    ]
