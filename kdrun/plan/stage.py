"""A stage of a plan: one model with the options that train it. Pure data."""

from dataclasses import dataclass, field, replace
from typing import Any

from kdrun.config.schema import CacheConfig, LossConfig, ModelConfig, TemperatureConfig, TrainConfig

TEACHER, ASSISTANT, GENERATION, STUDENT = "teacher", "assistant", "generation", "student"
DIRECT, INDEPENDENT, CONTROL, PILOT = "direct", "independent", "control", "pilot"


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


def stage_label(stage: Stage) -> dict[str, Any]:
    """What tells a stage from the others in every file: its role, its step, the seed of several."""
    label = {"role": stage.role, "step": stage.step, "seed": stage.seed}
    return {name: value for name, value in label.items() if value is not None}


def placed_label(position: int, stage: Stage) -> dict[str, Any]:
    """`stage_label` with the architecture and the stage's place in the plan."""
    return {"stage": position, "arch": stage.model.arch} | stage_label(stage)
