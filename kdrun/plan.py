"""Config -> the list of stages that answers it. Pure: reads no file and builds no model."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kdrun.assistants import chain_steps, choose_assistants, geometric_sizes
from kdrun.config.schema import (
    CacheConfig,
    Config,
    LossConfig,
    ModelConfig,
    TeacherConfig,
    TemperatureConfig,
    TrainConfig,
)
from kdrun.files import json_number
from kdrun.models.names import ARCHITECTURES
from kdrun.terms import cache_identity, labels_only, needs_teacher, term_options, uses_temperature

__all__ = ["Stage", "build_plan", "chain_steps", "choose_assistants", "geometric_sizes", "identity"]

FORMAT = 1
"""Version of what a stage computes; raised when the same config would give other weights."""

TEACHER_SEEDS = 1_000_000
"""Distance of the seed of a teacher from its student's, far beyond any sweep over seeds."""

TEACHER, STUDENT, CONTROL = "teacher", "student", "control"

# What each temperature schedule reads beside loss.T.
SCHEDULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear": ("end",),
    "cosine": ("end",),
    "exponential": ("end",),
    "step": ("end", "gamma", "every"),
    "learned": ("warmup_epochs",),
}

# Where and how fast a stage runs, not what it computes.
NO_IDENTITY = {
    "device",
    "workers",
    "eval_batch_size",
    "checkpoint_every",
    "keep_last",
    "on_nonfinite",
    "max_skipped",
    "compile",
}


@dataclass(frozen=True)
class Stage:
    """One model to train: from labels, or also from the earlier stages named by `teachers`.

    Attributes:
        origin: hash of the stage, and update of its checkpoint, from which this one goes on where
            the epochs of a run were raised.
    """

    role: str
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig
    temperature: TemperatureConfig
    cache: CacheConfig
    teachers: tuple[int, ...] = ()
    teacher_weights: tuple[float, ...] = ()
    origin: tuple[str, int] | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are given, so that there is nothing to train."""
        return self.role == TEACHER and self.model.weights is not None

    @property
    def name(self) -> str:
        """The role and the architecture, as folders and tables show them."""
        return f"{self.role}-{self.model.arch}"


def build_plan(config: Config) -> list[Stage]:
    """The stages of a run in the order in which they are trained, teachers first.

    A student whose loss needs no teacher is a plain training run, and is its own control.
    """
    plain = labels_only(config.loss)
    schedule, live = config.temperature, replace(config.cache, mode="off", views=0)
    student = Stage(STUDENT, config.student, config.train, config.loss, schedule, config.cache)
    if not needs_teacher(config.loss):
        return [student]
    unsmoothed = replace(plain, label_smoothing=0.0)
    stages = [
        Stage(TEACHER, model, teacher_train(config.train, position), unsmoothed, schedule, live)
        for position, model in enumerate(teacher_models(config.teacher))
    ]
    weights = tuple(config.teacher.ensemble_weights)
    stages.append(replace(student, teachers=tuple(range(len(stages))), teacher_weights=weights))
    if config.chain.control:
        stages.append(replace(student, role=CONTROL, loss=plain))
    return stages


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
        replace(first, arch=member, weights=None, width=None, depth=None)
        if member in ARCHITECTURES
        else replace(first, weights=member)
        for member in teacher.ensemble
    ]
    return [first, *others]


def identity(
    stage: Stage,
    *,
    data: str,
    augment: str,
    precision: str,
    weights: dict[str, Any] | None,
    teachers: list[str],
) -> dict[str, Any]:
    """All that determines a stage's result, as JSON data.

    Args:
        data: fingerprint of the images, labels and splits.
        augment: name of the augmentation.
        precision: the precision resolved for the device.
        weights: hash or name of the weights that the model starts from, and their normalisation.
        teachers: hashes of the stages it learns from.
    """
    model = asdict(stage.model) | {"weights": weights}
    if stage.pretrained:
        return {"format": FORMAT, "model": model, "data": data, "precision": precision}
    cache = cache_identity(stage.loss, stage.cache)
    train = {k: v for k, v in asdict(stage.train).items() if k not in NO_IDENTITY}
    return {
        "format": FORMAT,
        "model": model,
        "data": data,
        "augment": augment,
        "train": train | {"precision": precision},
        "loss": _loss_identity(stage),
        "teachers": teachers,
        "teacher_weights": list(stage.teacher_weights),
        **({} if stage.origin is None else {"origin": list(stage.origin)}),
        **({"cache": cache} if cache else {}),
    }


def _loss_identity(stage: Stage) -> dict[str, Any]:
    loss = term_options(stage.loss)
    schedule = stage.temperature.schedule
    if "soft" in loss and uses_temperature(stage.loss):
        loss["T"] = json_number(stage.loss.T) if schedule != "learned" else None
        options = {name: getattr(stage.temperature, name) for name in SCHEDULE_OPTIONS[schedule]}
        loss["temperature"] = {"schedule": schedule} | options
    return loss
