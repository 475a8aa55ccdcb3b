"""Config schema: types and ranges; defaults and explanations are in `configs/`."""

from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.datasets import AUGMENTATIONS, DATASETS
from kdrun.catalog.loggers import LOGGERS
from kdrun.catalog.optimizers import OPTIMIZERS
from kdrun.catalog.options import choice, make_section, number, text
from kdrun.catalog.rows import own_options, with_options
from kdrun.catalog.schedules import RATE_SCHEDULES, TEMPERATURE_METHODS, TEMPERATURE_SCHEDULES
from kdrun.catalog.terms import sections, soft_names

EVERY = r"(\d+(?:\.\d+)?)\s*(min|epoch|step)s?"
"""Format of `train.checkpoint_every`: a number and a unit."""


@dataclass
@with_options(own_options(DATASETS))
class DatasetConfig:
    """Source of the images, and splits."""

    name: str = choice(*DATASETS)
    root: str | None = MISSING
    download: bool = MISSING
    image_size: int | None = number(4, 4096)
    range: list[float] | None = MISSING
    val_fraction: float = number(0, 1, below=True)
    augment: str = choice(*AUGMENTATIONS)
    label_noise: float = number(0, 1, below=True)
    limit: int | None = number(1)
    num_classes: int = number(2, 100_000)
    num_images: int = number(1, 10_000_000)
    channels: int = number(1, 3)


@dataclass
class NormalizationConfig:
    """Mean and deviation per input channel; empty for the model's defaults."""

    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)


@dataclass
class ModelConfig:
    """A teacher or student network."""

    arch: str = MISSING
    library: str = choice("kdrun", "timm")
    stem: str = choice("auto", "imagenet", "small")
    width: int | None = number(1, 65_536)
    depth: int | None = number(1, 64)
    weights: str | None = MISSING
    weights_key: str | None = None
    normalization: NormalizationConfig = field(default_factory=NormalizationConfig)


@dataclass
class TeacherConfig(ModelConfig):
    """Teacher network, least accuracy, and facts about given weights."""

    min_accuracy: float | None = number(0, 1)
    label_smoothing: float | None = number(0, 1, below=True)
    ensemble: list[str] = field(default_factory=list)
    ensemble_weights: list[float] = field(default_factory=list)


@dataclass
class LossWeights:
    """Weights in place of alpha and 1 - alpha, for sums that are not convex."""

    soft: float | None = number(0, 1e6)
    hard: float | None = number(0, 1e6)


@dataclass
class LossOptions:
    """Options of the mixture as a whole."""

    soft: str | None = choice(*soft_names(), "none")
    alpha: float = number(0, 1)
    T: float = number(0, 1000, above=True, infinite=True)
    label_smoothing: float = number(0, 1, below=True)
    weights: LossWeights = field(default_factory=LossWeights)
    standardize: bool = MISSING


if TYPE_CHECKING:

    class LossConfig(LossOptions):
        """The student's loss mixture: `LossOptions` and a section per term."""

        def __getattr__(self, section: str) -> Any: ...

else:
    _TERMS = {
        section: make_section(f"{section}_options", options, f"Options of loss.{section}.")
        for section, options in sections().items()
    }
    LossConfig = make_dataclass(
        "LossConfig",
        [(section, made, field(default_factory=made)) for section, made in _TERMS.items()],
        bases=(LossOptions,),
        namespace={"__doc__": "The mixture that the student minimises."},
    )
    for made in (LossConfig, *_TERMS.values()):  # so that pickle finds them
        made.__module__ = __name__
        globals()[made.__name__] = made


@dataclass
@with_options(own_options(TEMPERATURE_SCHEDULES) | own_options(TEMPERATURE_METHODS))
class TemperatureConfig:
    """Schedule of T from loss.T on, or selection of T from the teacher."""

    schedule: str = choice(*TEMPERATURE_SCHEDULES)
    method: str = choice(*TEMPERATURE_METHODS)
    pilot_share: float = number(0, 1, above=True)
    end: float = number(0, 1000, above=True)
    gamma: float = number(0, 1, above=True)
    every: int = number(1)
    warmup_epochs: int = number(0, 100_000)


@dataclass
class CacheConfig:
    """Cache of the teacher's outputs on disk."""

    mode: str = choice("auto", "on", "off")
    dtype: str = choice("float16", "float32")
    topk: int | None = number(1, 1_000_000)
    views: int = number(0, 1_000_000)
    max_gb: float = number(0, 1e6)
    check: bool = MISSING


@dataclass
@with_options(own_options(CHAIN_METHODS))
class ChainConfig:
    """Stages between teacher and student, and controls."""

    method: str = choice(*CHAIN_METHODS)
    assistants: list[str] = field(default_factory=list)
    generations: int = number(2, 100)
    ratio: float = number(1, 1e6, above=True)
    max_assistants: int = number(0, 20)
    control: bool = MISSING
    stop_early: bool = MISSING
    ensemble_control: bool = MISSING
    stage: dict[str, Any] = field(default_factory=dict)


@dataclass
@with_options(own_options(OPTIMIZERS) | own_options(RATE_SCHEDULES))
class TrainConfig:
    """Training options of every stage."""

    epochs: int = number(1, 100_000)
    batch_size: int = number(2, 1_000_000)
    eval_batch_size: int = number(1, 1_000_000)
    accumulate: int = number(1, 10_000)
    optimizer: str = choice(*OPTIMIZERS)
    lr: float = number(0, 1000, above=True)
    momentum: float = number(0, 1, below=True)
    nesterov: bool = MISSING
    weight_decay: float = number(0, 10)
    schedule: str = choice(*RATE_SCHEDULES)
    milestones: list[float] = field(default_factory=list)
    gamma: float = number(0, 1, above=True)
    warmup_epochs: float = number(0, 100_000)
    grad_clip: float | None = number(0, 1e6, above=True)
    mixup: float = number(0, 100)
    cutmix: float = number(0, 100)
    ema: float | None = number(0, 1, above=True, below=True)
    seed: int = number(0, 2**53)
    device: str = MISSING
    precision: str = choice("auto", "fp32", "bf16", "fp16")
    compile: bool = MISSING
    channels_last: bool = MISSING
    deterministic: bool = MISSING
    on_nonfinite: str = choice("stop", "skip")
    max_skipped: int = number(0, 1_000_000)
    checkpoint_every: str = text(EVERY, "10min, 2epochs, 500steps")
    keep_last: int = number(1, 1000)
    workers: int | None = number(0, 1024)
    threads: int | None = number(1, 1024)
    lockstep: int = number(1, 10_000)


@dataclass
class Config:
    """Config of a run."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    student: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    temperature: TemperatureConfig = field(default_factory=TemperatureConfig)
    chain: ChainConfig = field(default_factory=ChainConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    recipe: str = "none"
    analysis: str = choice("off", "basic", "full")
    logger: str = choice(*LOGGERS)
    seeds: list[int] = field(default_factory=list)
    output_root: str = MISSING


@dataclass
class StageConfig:
    """Options of a single stage of a chain: `chain.stage.NUMBER`."""

    loss: LossConfig = field(default_factory=LossConfig)
    temperature: TemperatureConfig = field(default_factory=TemperatureConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
