"""Schedules of the temperature and of the learning rate by name. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class TemperatureSchedule(Row):
    """T over the epochs, from `start, progress, epoch` and the options that it reads.

    Attributes:
        starts_at_T: whether it starts at loss.T; otherwise T is found while training or before it.
        infinite: whether it takes loss.T=inf.
    """

    starts_at_T: bool = True
    infinite: bool = False


@dataclass(frozen=True, kw_only=True)
class RateSchedule(Row):
    """The share of the peak rate, from `progress` and the options that it reads.

    Attributes:
        after_warmup: whether progress runs over the updates after the warm-up, not over all.
    """

    after_warmup: bool = True


@dataclass(frozen=True, kw_only=True)
class TemperatureMethod(Row):
    """A choice of T from `found`, the evidence of a teacher, and the options that its row adds.

    Attributes:
        validates: whether it needs validation images.
    """

    validates: bool = False


_T = "kdrun.training.temperature_schedule"
TEMPERATURE_SCHEDULES: dict[str, TemperatureSchedule] = {
    "constant": TemperatureSchedule(code=f"{_T}:constant", infinite=True),
    "linear": TemperatureSchedule(code=f"{_T}:linear", reads=("end",)),
    "cosine": TemperatureSchedule(code=f"{_T}:cosine", reads=("end",)),
    "exponential": TemperatureSchedule(code=f"{_T}:exponential", reads=("end",)),
    "step": TemperatureSchedule(code=f"{_T}:step", reads=("end", "gamma", "every")),
    # Neither is a function of the epoch: a term of the loss trains T, or the teacher decides it.
    "learned": TemperatureSchedule(reads=("warmup_epochs",), starts_at_T=False),
    "auto": TemperatureSchedule(reads=("method", "pilot_share"), starts_at_T=False),
}

_METHODS = "kdrun.runs.temperature_methods"
TEMPERATURE_METHODS: dict[str, TemperatureMethod] = {
    "guideline": TemperatureMethod(code=f"{_METHODS}:by_guideline"),
    "formula": TemperatureMethod(code=f"{_METHODS}:by_formula"),
    "cmi": TemperatureMethod(code=f"{_METHODS}:by_dark_knowledge"),
    "search": TemperatureMethod(
        code=f"{_METHODS}:by_pilots", reads=("pilot_share",), validates=True
    ),
}

_RATE = "kdrun.training.lr_schedule"
RATE_SCHEDULES: dict[str, RateSchedule] = {
    "cosine": RateSchedule(code=f"{_RATE}:cosine"),
    "step": RateSchedule(code=f"{_RATE}:step", reads=("milestones", "gamma"), after_warmup=False),
    "constant": RateSchedule(code=f"{_RATE}:constant"),
}
