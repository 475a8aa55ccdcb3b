"""Findings of a run in sentences, from `summary.json`; comparisons are paired by seed."""

import math
from collections.abc import Sequence
from statistics import mean

from kdrun.loggers.tables import times
from kdrun.report.gain_words import (
    ONE_SEED,
    Compared,
    difference_words,
    gain_sentence,
    judgement,
    on_test,
)
from kdrun.report.gains import gain_between
from kdrun.report.paired_gain import PairedGain
from kdrun.store.summary import Entry, group_of, groups, result_of, tests

EQUAL_EPOCHS = "direct distillation at equal total epochs"


def verdict(summary: Entry) -> list[str]:
    """What the chain and distillation gave, and how much of the teacher's accuracy was kept."""
    result = result_of(summary)
    teachers = [group for group in groups(summary) if group[0]["role"] == "teacher"]
    lines = []
    if (direct := group_of(summary, "direct")) and result:
        validation, test = (gain_between(summary, result, direct, split) for split in BOTH)
        lines += chain_line(validation, test, model_name(result))
    if (control := group_of(summary, "control")) and result:
        ours = model_name(result)
        compared = Compared("distillation", ours, "the control", "the control")
        gain = gain_between(summary, result, control, "test")
        lines += [gain_sentence(gain, "test", compared)] if gain else []
    if result and teachers:
        lines.append(kept_line(result, teachers))
    return lines


BOTH = ("validation", "test")


def model_name(result: Sequence[Entry]) -> str:
    """What sentences call the model that the run was for."""
    return "the last generation" if result[0]["role"] == "generation" else "the student"


def chain_line(validation: PairedGain | None, test: PairedGain | None, ours: str) -> list[str]:
    """Whether the models between are worth their training: decided on validation, over seeds."""
    of = Compared("the chain", ours, "the model taught directly", EQUAL_EPOCHS)
    if validation is None:
        undecided = "no validation images (dataset.val_fraction) to decide by"
        return [f"{gain_sentence(test, 'test', of)}; {undecided}"] if test else []
    told, on_test_too = difference_words(validation, "validation", of), on_test(test)
    if validation.seeds == 1:
        return [f"{told}{on_test_too}; {ONE_SEED}"]
    advice = "keep the chain" if validation.is_gain else "teach the last model directly"
    return [f"{told}: {judgement(validation)}, so {advice}{on_test_too}"]


def kept_line(result: Sequence[Entry], teachers: Sequence[Sequence[Entry]]) -> str:
    """How much smaller the student is, and the share of the teacher's accuracy that it keeps.

    Several teachers are as large as all together, and as good as the best of them.
    """
    best = max(mean(tests(list(teacher))) for teacher in teachers)
    ratio = sum(teacher[0]["parameters"] for teacher in teachers) / result[0]["parameters"]
    several = len(teachers) > 1
    again = not several and ratio == 1 and teachers[0][0]["arch"] == result[0]["arch"]
    sized = "the teacher's architecture over again" if again else times(ratio)
    small = "; below 2x smaller there is little to compress" if ratio < 2 and not again else ""
    than = f" than its {len(teachers)} teachers together" if several else ""
    kept = kept_words(mean(tests(list(result))), best, "the best one's" if several else "the")
    return f"the student is {sized}{than} and {kept}{small}"


def kept_words(ours: float, best: float, whose: str) -> str:
    """The share of the teacher's accuracy, rounded down; where it is all, both."""
    if ours >= best:
        of = " of the teacher" if whose == "the" else ""
        return f"reaches {whose} accuracy{of} on test ({ours:.2%} against {best:.2%})"
    share = math.floor(1000 * ours / best + 1e-6) / 1000
    return f"keeps {share:.1%} of {whose} accuracy"
