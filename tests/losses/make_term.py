"""Logit terms by the name of their row, for tests."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from kdrun.catalog.terms import TERMS
from kdrun.losses.logit_term import LogitTerm
from kdrun.training.build_objective import term_class

SOFT_TERMS = tuple(name for name, row in TERMS.items() if row.soft)


def logit_term(
    name: str, teacher_weights: Sequence[float] | None = None, **changed: Any
) -> LogitTerm:
    """The term with its default options, but for those that are changed."""
    row = TERMS[name]
    defaults = {key: option.default for key, option in row.options.items()}
    options = defaults | {"standardize": False} | changed
    code = term_class(row)
    assert issubclass(code, LogitTerm)
    return code(SimpleNamespace(**options), teacher_weights)
