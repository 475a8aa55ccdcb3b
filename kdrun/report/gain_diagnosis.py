"""Diagnosis of a student without a gain: temperature, term weights, tied pilots."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from kdrun.analysis.certainty import NEARLY_UNIFORM, share_at
from kdrun.report.advice import of_stage
from kdrun.report.gains import stages_gain
from kdrun.report.metric_terms import HIDDEN, LABELS, SOFT, Lines, TermShare, term_shares
from kdrun.report.paired_gain import PairedGain
from kdrun.report.resolution import gain_over_control
from kdrun.store.summary import Entry, group_of, groups, places, result_of, stage_title

Choices = Sequence[Mapping[str, Any]]

NOTHING_LEFT = 0.99
"""Share of log K above which the teacher's outputs at the training's T count as uniform."""

MOSTLY_SOFT = 0.95
DOMINANT = 0.5
"""Share of the gradient above which a term outweighs all others."""


def ungained(summary: Entry, metrics: Lines, choices: Choices = ()) -> Iterator[str]:
    """Settings of the loss that may explain the missing gain.

    Args:
        summary: of the run.
        metrics: of its stages.
        choices: of T by temperature=auto.
    """
    result, (gain, rival) = result_of(summary), gained(summary)
    if gain is None or gain.points > 0:
        return
    found = set(places(summary, result))
    lines = [line for line in metrics if line["stage"] in found]
    if not lines:
        return
    title = f"{stage_title(result[0])} gained nothing over {rival}"
    chosen = any(choice["stage"] in found for choice in choices)
    yield from too_soft(summary, title, lines, chosen)
    shares = list(term_shares(lines))
    yield from mostly_soft(summary, title, shares)
    if gain.high is not None and gain.high < 0:
        yield from ruined(summary, shares)


def gained(summary: Entry) -> tuple[PairedGain | None, str]:
    """Gain over the control, or of the last generation over the first, and the baseline's name."""
    generations = [group for group in groups(summary) if group[0]["role"] == "generation"]
    if len(generations) > 1:
        return stages_gain(generations[-1], generations[0], "test"), "generation 0"
    return gain_over_control(summary), "the control"


def teachers_of_result(summary: Entry) -> list[Entry]:
    """The stages that taught the result."""
    generations = [group for group in groups(summary) if group[0]["role"] == "generation"]
    if len(generations) > 1:
        return generations[-2]
    return group_of(summary, "assistant") or group_of(summary, "teacher")


def too_soft(summary: Entry, title: str, lines: Lines, chosen: bool) -> Iterator[str]:
    """Report a T that makes the teacher's outputs uniform."""
    temperatures = {float(line["T"]) for line in lines if line["T"] is not None}
    known = [one["certainty"] for one in teachers_of_result(summary) if "certainty" in one]
    if not temperatures or not known:
        return
    T = min(temperatures)
    share = mean(share_of(one, T) for one in known)
    if share < NOTHING_LEFT or mean(share_of(one, 1.0) for one in known) > NEARLY_UNIFORM:
        return
    sharper = [t for t in (1, 2, 4, 8, 16) if share_of(known[0], t) <= NEARLY_UNIFORM] or [1]
    setting = of_stage(summary, result_of(summary)[0], f"loss.T={max(sharper)}")
    constant = "temperature=constant " if chosen or len(temperatures) > 1 else ""
    yield (
        f"{title}, and at T={T:g} its teacher is uniform ({share:.1%} of the maximum entropy): "
        f"{constant}{setting}"
    )


def share_of(certainty: Mapping[str, Any], T: float) -> float:
    """Entropy of a teacher's outputs at T as a share of log K; 1 at T = inf."""
    return 1.0 if math.isinf(T) else share_at(certainty, T)


def mostly_soft(summary: Entry, title: str, shares: Sequence[TermShare]) -> Iterator[str]:
    """Report soft terms that make up nearly all of the gradient."""
    soft = [one for one in shares if one.term.kind == SOFT]
    share = sum(one.share for one in soft)
    if not soft or share <= MOSTLY_SOFT:
        return
    most = max(soft, key=lambda one: one.share)
    labels = sum(one.weight for one in shares if one.term.kind == LABELS)
    # Weights that do not add up to 1 were not set by alpha.
    by_alpha = len(soft) == 1 and math.isclose(most.weight + labels, 1.0)
    weight = 0.5 if 0.5 < most.weight <= 1 else most.weight / 10
    setting = f"{'loss.alpha' if by_alpha else most.term.key}={weight:.3g}"
    yield (
        f"{title}, and {share:.0%} of its gradient came from the soft term"
        f"{'s' if len(soft) > 1 else ''}: {of_stage(summary, result_of(summary)[0], setting)}"
    )


def ruined(summary: Entry, shares: Sequence[TermShare]) -> Iterator[str]:
    """Report a dominant hidden-state term in a student that lost accuracy."""
    result = result_of(summary)[0]
    for one in shares:
        if one.term.kind == HIDDEN and one.share > DOMINANT:
            setting = f"{one.term.key}={one.weight / 10:.3g}"
            yield (
                f"{stage_title(result)} is clearly worse than without its teacher, and "
                f"{one.share:.0%} of its gradient came from the {one.term.name} term: "
                f"{of_stage(summary, result, setting)}"
            )


def tied_pilots(choices: Choices, error: float) -> Iterator[str]:
    """Report a searched T with other pilots within one standard error.

    Args:
        choices: of T.
        error: of a validation accuracy.
    """
    for choice in choices:
        pilots = {one["T"]: one["validation"] for one in choice.get("pilots", ())}
        if None in pilots.values() or choice["T"] not in pilots:
            continue
        best = pilots[choice["T"]]
        near = [T for T, value in pilots.items() if choice["T"] != T and best - value <= error]
        if near:
            others = " and ".join(f"T={T:g} ({pilots[T]:.2%})" for T in near)
            yield (
                f"the pilot of T={choice['T']:g} ({best:.2%} validation accuracy) is within one "
                f"standard error of {others}, so T was chosen by chance; use longer pilots: "
                "temperature.pilot_share=0.5"
            )
