"""Checks of the loss mixture and its temperature, derived from the terms' rows."""

import math
from collections.abc import Callable
from dataclasses import asdict

from kdrun.catalog.schedules import TEMPERATURE_METHODS, TEMPERATURE_SCHEDULES
from kdrun.catalog.term_row import Reads, Temperature
from kdrun.catalog.terms import TERMS, section_of, soft_names
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
from kdrun.config.schema import Config


def _some_term(config: Config) -> str | None:
    if term_weights(config.loss):
        return None
    return "loss: every term has weight 0; set loss.alpha or loss.weights"


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
        f"loss.soft={soft}: allows no other soft term, but {others[0]} is set; "
        "loss.soft=null sums several terms"
    )


def _takes_infinite_T(config: Config) -> str | None:
    for name, term in active_terms(config.loss).items():
        if term.row.temperature is Temperature.FINITE and term.T(config.loss) == math.inf:
            limited = [one for one, row in TERMS.items() if row.temperature is Temperature.ANY]
            return f"loss.T=inf: defined for {' and '.join(limited)} only, not for {name}"
    return None


def _ensemble_takes_finite_T(config: Config) -> str | None:
    temperatures = [term.T(config.loss) for term in active_terms(config.loss).values()]
    if math.inf not in temperatures or not config.teacher.ensemble:
        return None
    return "loss.T=inf: not defined for several teachers; give a finite T"


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
        f"temperature=learned: needs {known} as the only soft term, without its own T, "
        "loss.standardize=false and one teacher"
    )


def _chosen_temperature(config: Config) -> str | None:
    if config.temperature.schedule != "auto":
        return None
    if not uses_temperature(config.loss):
        soft = ", ".join(chosen_soft_terms(config.loss)) or "the loss"
        return f"temperature=auto: {soft} has no temperature to choose"
    if config.teacher.ensemble:
        return "temperature=auto: needs a single teacher; set loss.T for an ensemble"
    method = config.temperature.method
    if TEMPERATURE_METHODS[method].validates and config.dataset.val_fraction == 0:
        return f"temperature.method={method}: needs dataset.val_fraction above 0"
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
                f"train.batch_size={config.train.batch_size}: {key} needs at least "
                f"{term.row.least_batch} images per batch"
            )
    return None


def _mixed_labels(config: Config) -> str | None:
    mixed = config.train.mixup > 0 or config.train.cutmix > 0
    if not mixed or not (found := reads(config.loss, Reads.CLASS_LABELS)):
        return None
    return f"loss: {found[0]} needs class labels; set train.mixup and train.cutmix to 0"


def _cached_logits(config: Config) -> str | None:
    if config.cache.mode != "on":
        return None
    if looks_inside(config.loss):
        return "cache.mode=on: logits are stored, and a term of the loss looks inside the teacher"
    if config.cache.topk is not None and (found := reads(config.loss, Reads.LOGITS)):
        return f"cache.topk: keeps probabilities, and {found[0]} compares the logits"
    return None


def _finite_schedule(config: Config) -> str | None:
    schedule = config.temperature.schedule
    if TEMPERATURE_SCHEDULES[schedule].infinite or math.isfinite(config.loss.T):
        return None
    able = " or ".join(name for name, row in TEMPERATURE_SCHEDULES.items() if row.infinite)
    return f"loss.T=inf: needs temperature={able}, not {schedule}"


LOSS_CHECKS: tuple[Callable[[Config], str | None], ...] = (
    _some_term,
    _one_soft_term_named,
    _takes_infinite_T,
    _ensemble_takes_finite_T,
    _learned_temperature,
    _chosen_temperature,
    _term_options,
    _enough_images_to_compare,
    _mixed_labels,
    _cached_logits,
    _finite_schedule,
)
