"""Checks across keys; each returns an error line or None."""

import math
import re
from collections.abc import Callable

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.schema import Config, ModelConfig
from kdrun.errors import near_miss


def _known_arch(key: str, model: ModelConfig) -> str | None:
    if model.library == "timm" or model.arch in ARCHITECTURES:
        return None
    return f"{key}.arch={model.arch}: unknown model{near_miss(model.arch, ARCHITECTURES)}"


def _teacher_arch(config: Config) -> str | None:
    return _known_arch("teacher", config.teacher)


def _student_arch(config: Config) -> str | None:
    return _known_arch("student", config.student)


def _teacher_normalization(config: Config) -> str | None:
    return _whole_normalization("teacher", config.teacher)


def _student_normalization(config: Config) -> str | None:
    return _whole_normalization("student", config.student)


def _whole_normalization(key: str, model: ModelConfig) -> str | None:
    mean, std = model.normalization.mean, model.normalization.std
    numbers = all(math.isfinite(m) for m in mean) and all(0 < s < math.inf for s in std)
    if len(mean) == len(std) and numbers:
        return None
    return (
        f"{key}.normalization: needs one finite mean and one deviation above 0 per channel, "
        f"got mean={mean}, std={std}"
    )


def _grey_or_colour(config: Config) -> str | None:
    if config.dataset.channels != 2:
        return None
    return "dataset.channels=2: must be 1 (grey) or 3 (colour)"


def _value_range(config: Config) -> str | None:
    limits = config.dataset.range
    if limits is None:
        return None
    rising = len(limits) == 2 and limits[0] < limits[1]  # nan fails too
    if rising and all(map(math.isfinite, limits)):
        return None
    return f"dataset.range={limits}: must be two finite numbers, black below white"


def _ensemble_weights(config: Config) -> str | None:
    weights, teachers = config.teacher.ensemble_weights, 1 + len(config.teacher.ensemble)
    if not weights or (
        len(weights) == teachers and all(0 <= w < math.inf for w in weights) and sum(weights) > 0
    ):
        return None
    return f"teacher.ensemble_weights={weights}: must be {teachers} numbers, at least 0, not all 0"


def _weights_keys(config: Config) -> str | None:
    models = {"teacher": config.teacher, "student": config.student}
    alone = [n for n, m in models.items() if m.weights_key is not None and m.weights is None]
    if not alone:
        return None
    key = models[alone[0]].weights_key
    return f"{alone[0]}.weights_key={key}: needs {alone[0]}.weights=FILE"


def _warmup_fits(config: Config) -> str | None:
    train = config.train
    if train.warmup_epochs < train.epochs or train.warmup_epochs == 0:
        return None
    return f"train.warmup_epochs={train.warmup_epochs:g}: must be below train.epochs={train.epochs}"


def _milestones(config: Config) -> str | None:
    milestones = config.train.milestones
    if all(0 < share < 1 for share in milestones) and milestones == sorted(milestones):
        return None
    return f"train.milestones={milestones}: must be rising fractions of the epochs, from 0 to 1"


def _one_mixing(config: Config) -> str | None:
    if config.train.mixup == 0 or config.train.cutmix == 0:
        return None
    return "train.mixup and train.cutmix: use one of them, set the other to 0"


def _output_root(config: Config) -> str | None:
    if config.output_root.startswith("~"):
        return (
            f"output_root={config.output_root}: ~ is not expanded in YAML; write ${{oc.env:HOME}}"
        )
    return None if config.output_root.strip() else "output_root: must name a folder"


def _lockstep(config: Config) -> str | None:
    if config.train.compile and config.train.lockstep > 1:
        return "train.lockstep: compiled students are trained one by one; set train.compile=false"
    return None


def _device_name(config: Config) -> str | None:
    """Refuse a word that is no device of torch, without importing torch."""
    device = config.train.device
    if re.fullmatch(r"auto|(cpu|cuda|mps|xpu|hpu|mtia)(:\d+)?", device):
        return None
    hint = "; did you mean 'cuda'?" if "gpu" in device.casefold() else ""
    return f"train.device={device}: must be auto, cpu, mps, cuda or one such as cuda:1{hint}"


CHECKS: tuple[Callable[[Config], str | None], ...] = (
    _teacher_arch,
    _student_arch,
    _teacher_normalization,
    _student_normalization,
    _grey_or_colour,
    _value_range,
    _ensemble_weights,
    _weights_keys,
    _warmup_fits,
    _milestones,
    _one_mixing,
    _output_root,
    _lockstep,
    _device_name,
)
