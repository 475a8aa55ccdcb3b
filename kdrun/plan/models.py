"""Models of a plan, and the seeds of teachers."""

from dataclasses import fields, replace

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.schema import ModelConfig, NormalizationConfig, TeacherConfig, TrainConfig

TEACHER_SEEDS = 1_000_000
"""Offset between the seeds of teacher and student, larger than any sweep over seeds."""


def assistant_model(teacher: TeacherConfig, arch: str) -> ModelConfig:
    """Return an assistant: an architecture with the teacher's options and no given weights."""
    library = "kdrun" if arch in ARCHITECTURES else teacher.library
    return ModelConfig(arch, library, teacher.stem, width=None, depth=None, weights=None)


def teacher_train(train: TrainConfig, position: int) -> TrainConfig:
    """Return the training options of teacher number `position`, with a separate seed.

    With one seed, all members of an ensemble would be the same network, and a student of its
    teacher's architecture would start from its teacher's initial weights.
    """
    return replace(train, seed=train.seed + TEACHER_SEEDS * (position + 1))


def teacher_models(teacher: TeacherConfig) -> list[ModelConfig]:
    """Return the models of the teacher ensemble: architectures to train, or given weights."""
    first = ModelConfig(**{f.name: getattr(teacher, f.name) for f in fields(ModelConfig)})
    others = [
        replace(
            first,
            arch=member,
            weights=None,
            weights_key=None,
            width=None,
            depth=None,
            normalization=NormalizationConfig(),
        )
        if member in ARCHITECTURES
        else replace(first, weights=member, weights_key=None)
        for member in teacher.ensemble
    ]
    return [first, *others]
