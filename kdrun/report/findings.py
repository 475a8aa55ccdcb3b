"""Findings of a run in sentences, from `summary.json`; comparisons are paired by seed."""

from collections.abc import Sequence
from statistics import mean

from kdrun.loggers.tables import times
from kdrun.report.paired_gain import PairedGain, paired_gain, told
from kdrun.store.summary import Entry, group_of, groups, result_of, tests


def verdict(summary: Entry) -> list[str]:
    """What the chain and distillation gave, and how much of the teacher's accuracy was kept."""
    result = result_of(summary)
    teachers = [group for group in groups(summary) if group[0]["role"] == "teacher"]
    lines = []
    if direct := group_of(summary, "direct"):
        lines.append(chain_line(compared(result, direct, summary)))
    if (control := group_of(summary, "control")) and result:
        lines.append(control_line(compared(result, control, summary), bool(direct)))
    if result and teachers:
        lines.append(kept_line(result, teachers))
    return lines


def compared(ours: Sequence[Entry], theirs: Sequence[Entry], summary: Entry) -> PairedGain:
    """The paired difference of test accuracies; for one seed with the error of the test images."""
    return paired_gain(tests(list(ours)), tests(list(theirs)), summary["test_images"])


def chain_line(gain: PairedGain) -> str:
    """Whether the models between are worth their training."""
    advice = "keep the chain" if gain.exceeds_error else "teach the last model directly"
    return (
        f"the chain gave {told(gain)} points over direct distillation at equal total epochs: "
        f"{size(gain)}, so {advice} ({evidence(gain)})"
    )


def control_line(gain: PairedGain, longer: bool) -> str:
    """What the teachers gave."""
    epochs = " for as many epochs in all" if longer else ""
    return (
        f"distillation gave {told(gain)} points of test accuracy over the control, the same "
        f"student and seed without a teacher{epochs}: {size(gain)} "
        f"({evidence(gain)})"
    )


def size(gain: PairedGain) -> str:
    """The gain beside its standard error."""
    if gain.exceeds_error:
        return "more than one standard error"
    lost = gain.error is not None and -gain.mean > gain.error
    return "a loss of more than one standard error" if lost else "within one standard error"


def evidence(gain: PairedGain) -> str:
    """What the standard error was computed from."""
    if gain.seeds == 1:
        return "one seed, so the error is that of the sample of test images"
    return f"mean and standard error of the paired differences of {gain.seeds} seeds"


def kept_line(result: Sequence[Entry], teachers: Sequence[Sequence[Entry]]) -> str:
    """How much smaller the student is, and the share of the teacher's accuracy that it keeps.

    Several teachers are as large as all together, and as good as the best of them.
    """
    best = max(mean(tests(list(teacher))) for teacher in teachers)
    kept = mean(tests(list(result))) / max(best, 1e-9)
    ratio = sum(teacher[0]["parameters"] for teacher in teachers) / result[0]["parameters"]
    several = len(teachers) > 1
    again = not several and ratio == 1 and teachers[0][0]["arch"] == result[0]["arch"]
    sized = "the teacher's architecture over again" if again else times(ratio)
    small = "; below 2x smaller there is little to compress" if ratio < 2 and not again else ""
    than = f" than its {len(teachers)} teachers together" if several else ""
    whose = "the best one's" if several else "the"
    return f"the student is {sized}{than} and keeps {kept:.1%} of {whose} accuracy{small}"
