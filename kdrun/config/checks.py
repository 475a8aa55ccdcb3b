"""Checks that relate several keys; each returns a line or None."""

import math
from collections.abc import Callable
from dataclasses import asdict

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.catalog.terms import TERMS, Reads, Temperature, section_of, soft_names
from kdrun.config.loss_mixture import (
    active_terms,
    as_namespace,
    chosen_soft_terms,
    given_weight,
    looks_inside,
    reads,
    term_weights,
    uses_temperature,
)
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
        f"{key}.normalization: needs as many finite means as deviations above 0, one a channel, "
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
    return f"dataset.range={limits}: must be two finite numbers, those of black and of white"


def _some_term(config: Config) -> str | None:
    if term_weights(config.loss):
        return None
    return "loss: every term has weight 0; give loss.alpha or loss.weights something to train on"


def _finite_schedule(config: Config) -> str | None:
    schedule = config.temperature.schedule
    if TEMPERATURE_SCHEDULES[schedule].infinite or math.isfinite(config.loss.T):
        return None
    able = " or ".join(name for name, row in TEMPERATURE_SCHEDULES.items() if row.infinite)
    return f"loss.T=inf: needs temperature={able}, not {schedule}"


def _one_soft_term_named(config: Config) -> str | None:
    soft = config.loss.soft
    if soft is None:
        return None
    others = [
        f"loss.{name}.weight={given:g}"
        for name, row in TERMS.items()
        if row.soft
        and name != soft_names().get(soft)
        and (given := given_weight(config.loss, name))
    ]
    if not others:
        return None
    return (
        f"loss.soft={soft}: is the only soft term, and {others[0]} asks for another; "
        "set one of them: loss.soft=null adds terms up"
    )


def _takes_infinite_T(config: Config) -> str | None:
    for name, term in active_terms(config.loss).items():
        if term.row.temperature is Temperature.FINITE and term.T(config.loss) == math.inf:
            limited = [one for one, row in TERMS.items() if row.temperature is Temperature.ANY]
            return f"loss.T=inf: has a limit for {' and '.join(limited)} only, not {name}"
    return None


def _ensemble_takes_finite_T(config: Config) -> str | None:
    temperatures = [term.T(config.loss) for term in active_terms(config.loss).values()]
    if math.inf not in temperatures or not config.teacher.ensemble:
        return None
    return "loss.T=inf: has no limit for several teachers; give a finite T"


def _learned_temperature(config: Config) -> str | None:
    if config.temperature.schedule != "learned":
        return None
    soft = [term for term in active_terms(config.loss).values() if term.row.soft]
    plain = [
        term
        for term in soft
        if term.row.learned and term.follows_schedule and not term.options["standardize"]
    ]
    if len(soft) == len(plain) == 1 and not config.teacher.ensemble:
        return None
    known = " or ".join(name for name, row in TERMS.items() if row.learned)
    return (
        f"temperature=learned: needs {known} as the only soft term, without a T of its own, "
        "loss.standardize=false and one teacher"
    )


def _chosen_temperature(config: Config) -> str | None:
    if config.temperature.schedule != "auto":
        return None
    if not uses_temperature(config.loss):
        soft = ", ".join(chosen_soft_terms(config.loss)) or "the loss"
        return f"temperature=auto: {soft} has no temperature to choose"
    if config.teacher.ensemble:
        return "temperature=auto: is chosen from one teacher; set loss.T for an ensemble"
    if config.temperature.method == "search" and config.dataset.val_fraction == 0:
        return "temperature.method=search: chooses by validation; set dataset.val_fraction above 0"
    return None


def _term_options(config: Config) -> str | None:
    for name, row in TERMS.items():
        if row.check and row.options:
            section = getattr(config.loss, section_of(name))
            if fault := row.check(as_namespace(asdict(section))):
                return f"loss.{section_of(name)}.{fault}"
    return None


def _enough_images_to_compare(config: Config) -> str | None:
    for name, term in active_terms(config.loss).items():
        if config.train.batch_size < term.row.least_batch:
            key = f"loss.{section_of(name)}.{term.row.weight}"
            return (
                f"train.batch_size={config.train.batch_size}: {key} compares "
                f"{term.row.least_batch} images; set one of them otherwise"
            )
    return None


def _mixed_labels(config: Config) -> str | None:
    mixed = config.train.mixup > 0 or config.train.cutmix > 0
    if not mixed or not (found := reads(config.loss, Reads.CLASS_LABELS)):
        return None
    return f"loss: {found[0]} needs class labels; set train.mixup and train.cutmix to 0"


def _ensemble_weights(config: Config) -> str | None:
    weights, teachers = config.teacher.ensemble_weights, 1 + len(config.teacher.ensemble)
    if not weights or (
        len(weights) == teachers and all(0 <= w < math.inf for w in weights) and sum(weights) > 0
    ):
        return None
    return f"teacher.ensemble_weights={weights}: must be {teachers} numbers, at least 0, not all 0"


def _warmup_fits(config: Config) -> str | None:
    train = config.train
    if train.warmup_epochs < train.epochs or train.warmup_epochs == 0:
        return None
    return f"train.warmup_epochs={train.warmup_epochs:g}: must be below train.epochs={train.epochs}"


def _milestones(config: Config) -> str | None:
    milestones = config.train.milestones
    if all(0 < share < 1 for share in milestones) and milestones == sorted(milestones):
        return None
    return f"train.milestones={milestones}: must be rising shares of the epochs, between 0 and 1"


def _one_mixing(config: Config) -> str | None:
    if config.train.mixup == 0 or config.train.cutmix == 0:
        return None
    return "train.mixup and train.cutmix: use one of them, set the other to 0"


def _output_root(config: Config) -> str | None:
    if config.output_root.startswith("~"):
        return (
            f"output_root={config.output_root}: give the whole path, ~ is for the shell to expand"
        )
    return None if config.output_root.strip() else "output_root: must name a folder"


def _cached_logits(config: Config) -> str | None:
    if config.cache.mode != "on":
        return None
    if looks_inside(config.loss):
        return "cache.mode=on: logits are stored, and a term of the loss looks inside the teacher"
    if config.cache.topk is not None and (found := reads(config.loss, Reads.LOGITS)):
        return f"cache.topk: keeps probabilities, and {found[0]} compares the logits"
    return None


def _lockstep(config: Config) -> str | None:
    if config.train.compile and config.train.lockstep > 1:
        return "train.lockstep: compiled students are trained one by one; set train.compile=false"
    return None


CHECKS: tuple[Callable[[Config], str | None], ...] = (
    _teacher_arch,
    _student_arch,
    _teacher_normalization,
    _student_normalization,
    _grey_or_colour,
    _value_range,
    _some_term,
    _finite_schedule,
    _one_soft_term_named,
    _takes_infinite_T,
    _ensemble_takes_finite_T,
    _learned_temperature,
    _chosen_temperature,
    _term_options,
    _enough_images_to_compare,
    _mixed_labels,
    _ensemble_weights,
    _warmup_fits,
    _milestones,
    _one_mixing,
    _output_root,
    _cached_logits,
    _lockstep,
)
