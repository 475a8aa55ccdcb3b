"""Detection of overrides that no stage reads."""

from collections.abc import Sequence

from kdrun.catalog.schedules import SCHEDULE_OPTIONS
from kdrun.config.loss_mixture import needs_teacher, term_weights, uses_temperature
from kdrun.config.schema import Config

FOUND = ("auto", "learned")
"""Schedules that do not start from loss.T."""

CHAIN_OPTIONS = {
    **{"assistants": "assistants", "ratio": "auto", "max_assistants": "auto"},
    **{"generations": "born_again", "stop_early": "born_again", "ensemble_control": "born_again"},
}
"""The chain that reads an option."""

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
    reasons = (why(config, key) for why in (_loss, _temperature, _chain, _teacher, _train, _rest))
    return next(filter(None, reasons), None)


def _loss(config: Config, key: str) -> str | None:
    section, _, _ = key.rpartition(".")
    soft = config.loss.soft
    if key == "loss.alpha":
        return _why_alpha_is_idle(config)
    if key == "loss.T" and not uses_temperature(config.loss):
        return f"loss.soft={soft} reads no T"
    if key == "loss.T" and config.temperature.schedule in FOUND:
        return f"temperature={config.temperature.schedule} finds its own"
    return f"loss.soft={soft}" if SOFT_SECTIONS.get(section, soft) != soft else None


def _why_alpha_is_idle(config: Config) -> str | None:
    weights = config.loss.weights
    if not needs_teacher(config.loss) or "soft" not in term_weights(config.loss):
        return "the loss has no soft term"
    if weights.soft is not None and weights.hard is not None:
        return f"loss.weights.soft={weights.soft:g} and loss.weights.hard={weights.hard:g} are set"
    return None


def _temperature(config: Config, key: str) -> str | None:
    section, _, name = key.rpartition(".")
    schedule = config.temperature.schedule
    options = {option for names in SCHEDULE_OPTIONS.values() for option in names}
    unread = section == "temperature" and name in options - set(SCHEDULE_OPTIONS[schedule])
    return f"temperature={schedule} does not read it" if unread else None


def _chain(config: Config, key: str) -> str | None:
    section, _, name = key.rpartition(".")
    method = config.chain.method
    unread = section == "chain" and CHAIN_OPTIONS.get(name, method) != method
    return f"chain={method}" if unread else None


def _teacher(config: Config, key: str) -> str | None:
    if key.partition(".")[0] != "teacher":
        return None
    if config.chain.method == "born_again":
        same = key == "teacher.min_accuracy"  # of generation 0, which teaches
        return None if same else "chain=born_again starts from the student's architecture"
    return None if needs_teacher(config.loss) else "no term of the loss looks at a teacher"


def _train(config: Config, key: str) -> str | None:
    train = config.train
    if key in ("train.momentum", "train.nesterov") and train.optimizer != "sgd":
        return f"train.optimizer={train.optimizer}"
    if key in ("train.milestones", "train.gamma") and train.schedule != "step":
        return f"train.schedule={train.schedule}"
    if key == "train.max_skipped" and train.on_nonfinite != "skip":
        return f"train.on_nonfinite={train.on_nonfinite}"
    return None


def _rest(config: Config, key: str) -> str | None:
    section, _, name = key.rpartition(".")
    dataset, mode = config.dataset.name, config.cache.mode
    if section == "dataset" and name in ("num_classes", "num_images", "channels"):
        return None if dataset == "fake" else f"it is of dataset=fake, not {dataset}"
    if key == "dataset.range" and not dataset.startswith("image"):
        return f"it is of image files, not {dataset}"
    if section == "cache" and name in ("dtype", "topk") and mode == "auto":
        return "cache.mode=auto keeps every bit"
    return "cache.mode=off" if section == "cache" and name != "mode" and mode == "off" else None
