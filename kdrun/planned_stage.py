"""One model of a plan, and all that its result depends on. Pure data."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kdrun.config.schema import CacheConfig, LossConfig, ModelConfig, TemperatureConfig, TrainConfig
from kdrun.files import json_number
from kdrun.terms import cache_identity, term_options, uses_temperature

FORMAT = 2
"""Version of what a stage computes; raised when the same config would give other weights."""

TEACHER, ASSISTANT, GENERATION, STUDENT = "teacher", "assistant", "generation", "student"
DIRECT, INDEPENDENT, CONTROL, PILOT = "direct", "independent", "control", "pilot"

# What each temperature schedule reads beside loss.T.
SCHEDULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear": ("end",),
    "cosine": ("end",),
    "exponential": ("end",),
    "step": ("end", "gamma", "every"),
    "learned": ("warmup_epochs",),
    "auto": ("method", "pilot_share"),  # before T is known; afterwards it is a constant
}

# Where and how fast a stage runs, not what it computes.
NO_IDENTITY = {
    "device",
    "workers",
    "threads",
    "eval_batch_size",
    "checkpoint_every",
    "keep_last",
    "on_nonfinite",
    "max_skipped",
    "compile",
    "lockstep",
}


def live() -> CacheConfig:
    """Nothing stored: of stages that nobody teaches."""
    return CacheConfig(mode="off", dtype="float32", topk=None, views=0, max_gb=0.0, check=False)


@dataclass(frozen=True)
class Stage:
    """One model to train: from labels, or also from the earlier stages named by `teachers`.

    Attributes:
        origin: hash of the stage, and update of its checkpoint, from which this one goes on where
            the epochs of a run were raised.
        step: place in the chain, 0 for the first teacher; of a control that of its counterpart.
        seed: the run's, where it has several.
    """

    role: str
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig
    temperature: TemperatureConfig
    cache: CacheConfig = field(default_factory=live)
    teachers: tuple[int, ...] = ()
    teacher_weights: tuple[float, ...] = ()
    origin: tuple[str, int] | None = None
    step: int | None = None
    seed: int | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are given, so that there is nothing to train."""
        return self.role == TEACHER and self.model.weights is not None

    @property
    def undecided(self) -> bool:
        """Whether T is to be chosen from the teacher, which has to be there first."""
        return self.temperature.schedule == "auto" and bool(self.teachers)

    def at(self, T: float) -> "Stage":
        """The stage with the T that was chosen."""
        constant = replace(self.temperature, schedule="constant")
        return replace(self, loss=replace(self.loss, T=T), temperature=constant)

    @property
    def name(self) -> str:
        """Role, architecture, and the seed of several, as folders show them."""
        return f"{self.role}-{self.model.arch}" + ("" if self.seed is None else f"-seed{self.seed}")

    @property
    def title(self) -> str:
        """`student resnet8`, `generation 1 resnet8 seed 0`: as messages name it."""
        numbered = self.role in (GENERATION, INDEPENDENT)
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.role}{f' {self.step}' if numbered else ''} {self.model.arch}{seed}"


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
    if uses_temperature(stage.loss):
        loss["T"] = None if schedule in ("learned", "auto") else json_number(stage.loss.T)
        options = {name: getattr(stage.temperature, name) for name in SCHEDULE_OPTIONS[schedule]}
        loss["temperature"] = {"schedule": schedule} | options
    return loss
