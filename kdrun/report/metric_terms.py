"""Loss terms in `metrics.jsonl`, with the settings of their weights."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from kdrun.catalog.terms import TERMS, section_of

Lines = Sequence[Mapping[str, Any]]

SOFT, LABELS, HIDDEN = "soft", "labels", "hidden"

BEFORE_FORMAT_4 = {"hard": "cross_entropy", "distance": "rkd_distance", "angle": "rkd_angle"}
"""Former names of terms in metrics of an earlier kdrun; any soft term was `soft`."""


class TermName(NamedTuple):
    """Kind, label and weight of a term.

    Attributes:
        kind: reads the teacher's outputs, the labels, or hidden states.
        name: for sentences.
        key: of its weight; None for the labels.
    """

    kind: str
    name: str
    key: str | None = None


def term_name(key: str) -> TermName | None:
    """Look up a term by its key in `terms`, also of an earlier kdrun; None if unknown."""
    if key == "soft":
        return TermName(SOFT, "soft", "loss.weights.soft")
    name = BEFORE_FORMAT_4.get(key, key)
    row = TERMS.get(name)
    if row is None:
        return None
    if not row.needs_teacher:
        return TermName(LABELS, "label")
    kind = HIDDEN if row.looks_inside else SOFT
    return TermName(kind, row.label, f"loss.{section_of(name)}.{row.weight}")


class TermShare(NamedTuple):
    """Name, last weight and mean gradient share of a stage's term."""

    term: TermName
    weight: float
    share: float


def term_shares(lines: Lines) -> Iterator[TermShare]:
    """Terms of a stage with a measured share of the gradient.

    Args:
        lines: of the stage, of one or several seeds.
    """
    for key in dict.fromkeys(key for line in lines for key in line["terms"]):
        term, found = term_name(key), [line["terms"][key] for line in lines if key in line["terms"]]
        known = [one["gradient_share"] for one in found if one["gradient_share"] is not None]
        if term is not None and known:
            yield TermShare(term, float(found[-1].get("weight", 1.0)), mean(known))
