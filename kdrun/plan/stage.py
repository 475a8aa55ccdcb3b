"""Stage of a plan: one model with its training options. Pure data."""

from dataclasses import dataclass, field, replace
from typing import Any

from kdrun.config.schema import (
    CacheConfig,
    Config,
    LossConfig,
    ModelConfig,
    TemperatureConfig,
    TrainConfig,
)

TEACHER, ASSISTANT, GENERATION, STUDENT = "teacher", "assistant", "generation", "student"
DIRECT, INDEPENDENT, CONTROL, PILOT = "direct", "independent", "control", "pilot"


def live() -> CacheConfig:
    """Return cache options that store nothing, for stages without a teacher."""
    return CacheConfig(mode="off", dtype="float32", topk=None, views=0, max_gb=0.0, check=False)


@dataclass(frozen=True)
class Stage:
    """One model to train: from labels, and from the earlier stages in `teachers`.

    Attributes:
        origin: hash of the stage, and update of its checkpoint, from which this stage continues
            after the epochs of a run were raised.
        step: position in the chain, 0 for the first teacher; a control has its counterpart's.
        seed: seed of the run, if the run has several.
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
        """Whether the weights are given and the stage is not trained."""
        return self.role == TEACHER and self.model.weights is not None

    @property
    def undecided(self) -> bool:
        """Whether T is still to be chosen from the trained teacher."""
        return self.temperature.schedule == "auto" and bool(self.teachers)

    def at(self, T: float) -> "Stage":
        """Return the stage with the chosen T."""
        constant = replace(self.temperature, schedule="constant")
        return replace(self, loss=replace(self.loss, T=T), temperature=constant)

    @property
    def name(self) -> str:
        """Name of the folder: role, architecture, and the seed if the run has several."""
        return f"{self.role}-{self.model.arch}" + ("" if self.seed is None else f"-seed{self.seed}")

    @property
    def title(self) -> str:
        """Name in messages: `student resnet8`, `generation 1 resnet8 seed 0`."""
        numbered = self.role in (GENERATION, INDEPENDENT)
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.role}{f' {self.step}' if numbered else ''} {self.model.arch}{seed}"


def model_stage(config: Config, model: ModelConfig) -> Stage:
    """Return a stage that stands for the model alone, outside of any plan."""
    return Stage(
        role=STUDENT,
        model=model,
        train=config.train,
        loss=config.loss,
        temperature=config.temperature,
    )


def stage_label(stage: Stage) -> dict[str, Any]:
    """Return the fields that identify a stage in files: role, step, seed if several."""
    label = {"role": stage.role, "step": stage.step, "seed": stage.seed}
    return {name: value for name, value in label.items() if value is not None}


def placed_label(position: int, stage: Stage) -> dict[str, Any]:
    """Return `stage_label` with the architecture and the position in the plan."""
    return {"stage": position, "arch": stage.model.arch} | stage_label(stage)
