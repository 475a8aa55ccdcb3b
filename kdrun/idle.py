"""Settings that a user gave and that change nothing, so that nobody sweeps over them in vain."""

from collections.abc import Sequence

from kdrun.config.schema import Config
from kdrun.planned_stage import SCHEDULE_OPTIONS
from kdrun.terms import needs_teacher, term_weights, uses_temperature

FOUND = ("auto", "learned")
"""Schedules that do not start from loss.T."""

SOFT_SECTIONS = {"loss.dkd": "dkd", "loss.dist": "dist", "loss.nkd": "nkd"}


def idle_lines(config: Config, overrides: Sequence[str]) -> list[str]:
    """A line for each override of the command line that no stage of the run reads."""
    if config.chain.stage:  # whose options may read what the others do not
        return []
    told = (override.lstrip("+").partition("=") for override in overrides)
    return [
        f"{key}={value} changes nothing: {why}"
        for key, _, value in told
        if (why := why_idle(config, key))
    ]


def why_idle(config: Config, key: str) -> str | None:
    """Why a setting is read by no stage, or None where one reads it."""
    section, _, name = key.rpartition(".")
    soft, schedule = config.loss.soft, config.temperature.schedule
    options = {option for names in SCHEDULE_OPTIONS.values() for option in names}
    unread = section == "temperature" and name in options - set(SCHEDULE_OPTIONS[schedule])
    chain_alone = section == "chain" and name not in ("method", "control")
    reasons = (
        (key == "loss.alpha", _why_alpha_is_idle(config)),
        (key == "loss.T" and not uses_temperature(config.loss), f"loss.soft={soft} reads no T"),
        (key == "loss.T" and schedule in FOUND, f"temperature={schedule} finds its own"),
        (unread, f"temperature={schedule} does not read it"),
        (chain_alone and config.chain.method == "none", "chain=none"),
        (SOFT_SECTIONS.get(section, soft) != soft, f"loss.soft={soft}"),
    )
    return next((why for applies, why in reasons if applies and why), None)


def _why_alpha_is_idle(config: Config) -> str | None:
    weights = config.loss.weights
    if not needs_teacher(config.loss) or "soft" not in term_weights(config.loss):
        return "the loss has no soft term"
    if weights.soft is not None and weights.hard is not None:
        return f"loss.weights.soft={weights.soft:g} and loss.weights.hard={weights.hard:g} are set"
    return None
