"""The plan of a run: the stages that answer its config. Reads no file and builds no model."""

from collections.abc import Sequence
from dataclasses import fields, replace

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.loss_mixture import labels_only, needs_teacher
from kdrun.config.schema import (
    Config,
    ModelConfig,
    NormalizationConfig,
    TeacherConfig,
    TrainConfig,
)
from kdrun.config.stage_overrides import stage_options
from kdrun.errors import ConfigError
from kdrun.plan.assistants import ChainSizes, choose_assistants
from kdrun.plan.stage import (
    ASSISTANT,
    CONTROL,
    DIRECT,
    GENERATION,
    INDEPENDENT,
    STUDENT,
    TEACHER,
    Stage,
)

TEACHER_SEEDS = 1_000_000
"""Distance of the seed of a teacher from its student's, far beyond any sweep over seeds."""


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
    if config.chain.method == "born_again":
        return _born_again(config)
    last = stage_options(config, 1 + len(chain_assistants(config, sizes)))
    if not needs_teacher(last.loss):
        plain = Stage(STUDENT, config.student, last.train, last.loss, last.temperature)
        return [replace(plain, cache=config.cache)]
    return _taught(config, chain_assistants(config, sizes))


def chain_assistants(config: Config, sizes: ChainSizes | None) -> list[str]:
    """The architectures between teacher and student, as they are named or chosen by size."""
    chain = config.chain
    if chain.method != "auto":
        return list(chain.assistants)
    assert sizes is not None
    chosen = choose_assistants(
        sizes.teacher, sizes.student, sizes.candidates, chain.ratio, chain.max_assistants
    )
    beyond = [position for position in chain.stage if int(position) > len(chosen) + 1]
    if beyond:
        raise ConfigError(
            f"chain.stage.{beyond[0]}: chain=auto chose {chosen}, so that the last stage is "
            f"{len(chosen) + 1}"
        )
    return chosen


def _taught(config: Config, assistants: Sequence[str]) -> list[Stage]:
    """The teachers, each model taught by the one before it, and the controls."""
    first = stage_options(config, 0)
    unsmoothed = replace(labels_only(first.loss), label_smoothing=0.0)
    teachers = [
        Stage(TEACHER, model, teacher_train(first.train, i), unsmoothed, first.temperature, step=0)
        for i, model in enumerate(teacher_models(config.teacher))
    ]
    models = [*(assistant_model(config.teacher, name) for name in assistants), config.student]
    pupils: list[Stage] = []
    for step, model in enumerate(models, 1):
        own = stage_options(config, step)
        role = STUDENT if step == len(models) else ASSISTANT
        by = tuple(range(len(teachers))) if step == 1 else (len(teachers) + step - 2,)
        weights = tuple(config.teacher.ensemble_weights) if step == 1 else ()
        pupils.append(
            Stage(
                role,
                model,
                own.train,
                own.loss,
                own.temperature,
                config.cache,
                teachers=by,
                teacher_weights=weights,
                step=step,
            )
        )
    return [*teachers, *pupils, *(controls(pupils) if config.chain.control else ())]


def _born_again(config: Config) -> list[Stage]:
    """Generations of the student's architecture, the models beside them, and the controls."""
    generations: list[Stage] = []
    for step in range(config.chain.generations):
        own = stage_options(config, step)
        # A seed of its own, as of other teachers: else each would start from the first's weights.
        train = replace(own.train, seed=own.train.seed + TEACHER_SEEDS * step)
        loss, by = (own.loss, (step - 1,)) if step else (labels_only(own.loss), ())
        cache = config.cache
        stage = Stage(
            GENERATION, config.student, train, loss, own.temperature, cache, by, step=step
        )
        generations.append(stage)
    pupils = generations[1:]
    alone = [_from_labels(stage, INDEPENDENT) for stage in pupils if config.chain.ensemble_control]
    return [*generations, *alone, *(controls(pupils) if config.chain.control else ())]


def head_of(stages: Sequence[Stage], place: int) -> tuple[int, ...]:
    """The teachers with which a taught stage's chain begins."""
    teachers = stages[place].teachers
    while above := stages[teachers[0]].teachers:
        teachers = above
    return teachers


def controls(pupils: Sequence[Stage]) -> list[Stage]:
    """The last pupil without the others before it, and without any teacher.

    Both are trained for as many epochs as all pupils together, lest a chain win by its length.
    """
    last = pupils[-1]
    longer = replace(last, train=replace(last.train, epochs=sum(p.train.epochs for p in pupils)))
    first = pupils[0]
    direct = replace(
        longer, role=DIRECT, teachers=first.teachers, teacher_weights=first.teacher_weights
    )
    return [*([direct] if len(pupils) > 1 else []), _from_labels(longer, CONTROL)]


def _from_labels(stage: Stage, role: str) -> Stage:
    """The stage without its teacher."""
    loss = labels_only(stage.loss)
    return replace(stage, role=role, loss=loss, teachers=(), teacher_weights=())


def assistant_model(teacher: TeacherConfig, arch: str) -> ModelConfig:
    """An assistant: an architecture built as the teacher is, without weights of its own."""
    library = "kdrun" if arch in ARCHITECTURES else teacher.library
    return ModelConfig(arch, library, teacher.stem, width=None, depth=None, weights=None)


def teacher_train(train: TrainConfig, position: int) -> TrainConfig:
    """The options of teacher number `position`, with a seed of its own.

    Members of an ensemble would else be one network, and a student of its teacher's architecture
    would start from its teacher's first weights.
    """
    return replace(train, seed=train.seed + TEACHER_SEEDS * (position + 1))


def teacher_models(teacher: TeacherConfig) -> list[ModelConfig]:
    """The teacher and the others of its ensemble: architectures to train, or weights of its own."""
    first = ModelConfig(**{f.name: getattr(teacher, f.name) for f in fields(ModelConfig)})
    others = [
        replace(
            first,
            arch=member,
            weights=None,
            width=None,
            depth=None,
            normalization=NormalizationConfig(),
        )
        if member in ARCHITECTURES
        else replace(first, weights=member)
        for member in teacher.ensemble
    ]
    return [first, *others]
