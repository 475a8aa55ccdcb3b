"""Temperature schedules, temperature methods and rate schedules. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class TemperatureSchedule(Row):
    """A temperature schedule, a function of `start, progress, epoch` and its options.

    Attributes:
        starts_at_T: whether T starts at loss.T; otherwise T is found before or during training.
        infinite: whether loss.T=inf is allowed.
    """

    starts_at_T: bool = True
    infinite: bool = False


@dataclass(frozen=True, kw_only=True)
class RateSchedule(Row):
    """A learning-rate schedule: the share of the peak rate, by `progress` and its options.

    Attributes:
        after_warmup: whether progress counts only the updates after the warm-up.
    """

    after_warmup: bool = True


@dataclass(frozen=True, kw_only=True)
class TemperatureMethod(Row):
    """A method that selects T from the `Evidence` of a teacher and its own options.

    Attributes:
        validates: whether the method needs validation images.
    """

    validates: bool = False


_T = "kdrun.training.temperature_schedule"
TEMPERATURE_SCHEDULES: dict[str, TemperatureSchedule] = {
    "constant": TemperatureSchedule(code=f"{_T}:constant", infinite=True),
    "linear": TemperatureSchedule(code=f"{_T}:linear", reads=("end",)),
    "cosine": TemperatureSchedule(code=f"{_T}:cosine", reads=("end",)),
    "exponential": TemperatureSchedule(code=f"{_T}:exponential", reads=("end",)),
    "step": TemperatureSchedule(code=f"{_T}:step", reads=("end", "gamma", "every")),
    # Neither is a function of the epoch: T is trained in a loss term, or chosen from the teacher.
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
