"""The models of a plan, and the seeds of those that teach."""

from dataclasses import fields, replace

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.schema import ModelConfig, NormalizationConfig, TeacherConfig, TrainConfig

TEACHER_SEEDS = 1_000_000
"""Distance of the seed of a teacher from its student's, far beyond any sweep over seeds."""


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
