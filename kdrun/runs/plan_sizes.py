"""Model sizes for `chain=auto`, counted without memory for weights."""

from collections.abc import Sequence

from kdrun.catalog.architectures import family_of
from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.datasets import ImageShape
from kdrun.config.schema import Config, ModelConfig
from kdrun.errors import ConfigError
from kdrun.models.complexity import count_parameters
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.build import build_plan
from kdrun.plan.models import assistant_model, teacher_models
from kdrun.plan.stage import ASSISTANT, Stage, model_stage
from kdrun.training.stage_model import build_on_meta


def plan_for(config: Config, shape: ImageShape) -> list[Stage]:
    """Return the stages of a run on images of the shape.

    Raises:
        ConfigError: `chain=auto` has no candidates.
    """
    return build_plan(config, chain_sizes(config, shape))


def chosen_chain(stages: Sequence[Stage]) -> str:
    """Return a message with the choice of `chain=auto`."""
    assistants = dict.fromkeys(s.model.arch for s in stages if s.role == ASSISTANT)
    chosen = (
        f"{' -> '.join(assistants)} between" if assistants else "no assistant is worth its step"
    )
    return f"chain=auto: {chosen} ('kdrun plan' shows the costs)"


def chain_sizes(config: Config, shape: ImageShape) -> ChainSizes | None:
    """Return parameter counts of teacher, student and the teacher's family; None if unused.

    Raises:
        ConfigError: the teacher has no family.
    """
    if not CHAIN_METHODS[config.chain.method].sized:
        return None
    teacher = teacher_models(config.teacher)[0]
    family = family_of(teacher.arch) if teacher.library == "kdrun" else ()
    if not family:
        raise ConfigError(
            f"chain={config.chain.method}: no other sizes of {teacher.arch} are known; "
            "name assistants with chain=assistants chain.assistants=[...]"
        )
    found = {
        arch: _parameters(config, assistant_model(config.teacher, arch), shape) for arch in family
    }
    return ChainSizes(
        _required(config, teacher, shape),
        _required(config, config.student, shape),
        {arch: parameters for arch, parameters in found.items() if parameters is not None},
    )


def _required(config: Config, model: ModelConfig, shape: ImageShape) -> int:
    stage = model_stage(config, model)
    return count_parameters(build_on_meta(stage, shape))


def _parameters(config: Config, model: ModelConfig, shape: ImageShape) -> int | None:
    """Return the parameter count; None if the architecture does not support the image size."""
    try:
        return _required(config, model, shape)
    except ConfigError:
        return None
