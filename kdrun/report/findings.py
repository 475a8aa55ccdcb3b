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
    """Gains of the chain and of distillation, and the teacher's accuracy that was retained."""
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
    """Name of the run's final model in sentences."""
    return "the last generation" if result[0]["role"] == "generation" else "the student"


def chain_line(validation: PairedGain | None, test: PairedGain | None, ours: str) -> list[str]:
    """Advice to keep or drop the intermediate models, decided on validation over seeds."""
    of = Compared("the chain", ours, "the model taught directly", EQUAL_EPOCHS)
    if validation is None:
        undecided = "undecided: no validation images (dataset.val_fraction)"
        return [f"{gain_sentence(test, 'test', of)}; {undecided}"] if test else []
    words, on_test_too = difference_words(validation, "validation", of), on_test(test)
    if validation.seeds == 1:
        return [f"{words}{on_test_too}; {ONE_SEED}"]
    advice = "keep the chain" if validation.is_gain else "teach the last model directly"
    return [f"{words}: {judgement(validation)}, so {advice}{on_test_too}"]


def kept_line(result: Sequence[Entry], teachers: Sequence[Sequence[Entry]]) -> str:
    """Compression ratio of the student, and the share of the teacher's accuracy it retains.

    Several teachers count with their total size and the best accuracy.
    """
    best = max(mean(tests(list(teacher))) for teacher in teachers)
    ratio = sum(teacher[0]["parameters"] for teacher in teachers) / result[0]["parameters"]
    several = len(teachers) > 1
    again = not several and ratio == 1 and teachers[0][0]["arch"] == result[0]["arch"]
    sized = "has the teacher's architecture" if again else f"is {times(ratio)}"
    small = "; below 2x smaller there is little to compress" if ratio < 2 and not again else ""
    than = f" than its {len(teachers)} teachers together" if several else ""
    kept = kept_words(mean(tests(list(result))), best, "the best one's" if several else "the")
    return f"the student {sized}{than} and {kept}{small}"


def kept_words(ours: float, best: float, owner: str) -> str:
    """The retained share of the teacher's accuracy, rounded down, or both accuracies if all."""
    if ours >= best:
        of = " of the teacher" if owner == "the" else ""
        return f"reaches {owner} accuracy{of} on test ({ours:.2%} against {best:.2%})"
    share = math.floor(1000 * ours / best + 1e-6) / 1000
    return f"keeps {share:.1%} of {owner} accuracy"
