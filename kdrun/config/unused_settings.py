"""Detection of overrides that no stage reads."""

from collections.abc import Sequence
from operator import attrgetter

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.catalog.tables import TABLES
from kdrun.catalog.terms import TERMS, section_of, sections
from kdrun.config.loss_mixture import (
    active_terms,
    given_weight,
    mixture,
    needs_teacher,
    uses_temperature,
)
from kdrun.config.schema import Config
from kdrun.config.value_faults import shown_value


def idle_lines(config: Config, overrides: Sequence[str]) -> list[str]:
    """Return a line per command-line override that no stage of the run reads."""
    if config.chain.stage:  # a single stage may read settings that the others ignore
        return []
    given = (override.lstrip("+").partition("=") for override in overrides)
    return [
        f"{key}={value} changes nothing: {why}"
        for key, _, value in given
        if (why := why_idle(config, key))
    ]


def why_idle(config: Config, key: str) -> str | None:
    """Return the reason why no stage reads a setting, or None if a stage reads it."""
    reasons = (why(config, key) for why in (_loss, _rows, _teacher, _rest))
    return next(filter(None, reasons), None)


def _loss(config: Config, key: str) -> str | None:
    loss = config.loss
    group, _, rest = key.partition(".")
    section, _, option = rest.partition(".")
    if group != "loss":
        return None
    if rest in ("alpha", "weights.soft"):
        return _why_shared_weight_is_idle(config, rest)
    if rest == "T" and not uses_temperature(loss):
        return f"{mixture(loss)} reads no scheduled T"
    if rest == "T" and not TEMPERATURE_SCHEDULES[config.temperature.schedule].starts_at_T:
        return f"temperature={config.temperature.schedule} finds its own T"
    if rest == "standardize" and all(_standardizes_itself(config, name) for name in _soft(config)):
        return f"no soft term of {mixture(loss)} reads it"
    return _why_section_is_idle(config, section, option) if section in sections() else None


def _why_section_is_idle(config: Config, section: str, option: str) -> str | None:
    """Return the reason why an option of a term is unused: no such term, or loss.soft is set."""
    rows = {name: row for name, row in TERMS.items() if section_of(name) == section}
    named = config.loss.soft is not None and any(row.soft for row in rows.values())
    weighted = {name for name, row in rows.items() if option == row.weight}
    if weighted and named and not given_weight(config.loss, min(weighted)):
        return f"loss.soft={config.loss.soft} selects the only soft term"
    readers = [name for name, row in rows.items() if option in row.options]
    if weighted or set(readers) & set(active_terms(config.loss)):
        return None
    return f"{section} is not a term of {mixture(config.loss)}"


def _soft(config: Config) -> list[str]:
    return [name for name, term in active_terms(config.loss).items() if term.row.soft]


def _standardizes_itself(config: Config, name: str) -> bool:
    return getattr(config.loss, section_of(name)).standardize is not None


def _why_shared_weight_is_idle(config: Config, key: str) -> str | None:
    """Return the reason why loss.alpha or loss.weights.soft is unused: all weights are given."""
    loss, soft = config.loss, _soft(config)
    if not soft:
        return "the loss has no soft term"
    own = [name for name in soft if given_weight(loss, name)]
    given = [f"loss.{name}.weight={given_weight(loss, name):g}" for name in own]
    if len(own) < len(soft) and (key == "weights.soft" or loss.weights.soft is None):
        return None
    if len(own) < len(soft):
        given.append(f"loss.weights.soft={loss.weights.soft:g}")
    if key == "alpha" and loss.weights.hard is None:
        return None
    if key == "alpha":
        given.append(f"loss.weights.hard={loss.weights.hard:g}")
    return f"{' and '.join(given)} {'are' if len(given) > 1 else 'is'} set"


def _rows(config: Config, key: str) -> str | None:
    """Return the selected row if only other rows read the option."""
    section, _, name = key.rpartition(".")
    for table in TABLES:
        chosen = attrgetter(table.key)(config)
        if section == table.section and table.unread(name, chosen):
            return f"{table.key}={chosen} does not read it"
    return None


def _teacher(config: Config, key: str) -> str | None:
    if key.partition(".")[0] != "teacher":
        return None
    method = config.chain.method
    if CHAIN_METHODS[method].generations:
        same = key == "teacher.min_accuracy"  # applies to generation 0, a teacher
        return None if same else f"chain={method} starts from the student's architecture"
    return None if needs_teacher(config.loss) else "no term of the loss reads a teacher"


def _rest(config: Config, key: str) -> str | None:
    section, _, name = key.rpartition(".")
    mode = config.cache.mode
    if key == "train.seed" and config.seeds:
        return f"seeds={shown_value(config.seeds)} is set; leave one of them out"
    if key == "train.max_skipped" and config.train.on_nonfinite != "skip":
        return f"train.on_nonfinite={config.train.on_nonfinite}"
    if section == "cache" and name in ("dtype", "topk") and mode == "auto":
        return "cache.mode=auto keeps every bit"
    return "cache.mode=off" if section == "cache" and name != "mode" and mode == "off" else None
