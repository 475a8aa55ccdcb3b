"""What a run showed, in sentences: every comparison is paired by seed; reads summaries only."""

from collections.abc import Sequence
from statistics import mean

from kdrun.gains import PairedGain, paired_gain, told
from kdrun.stage_groups import Entry, group_of, result_of, tests


def verdict(summary: Entry) -> list[str]:
    """What the chain and distillation gave, and how much of the teacher's accuracy was kept."""
    result, teacher = result_of(summary), group_of(summary, "teacher")
    lines = []
    if direct := group_of(summary, "direct"):
        lines.append(chain_line(compared(result, direct, summary)))
    if (control := group_of(summary, "control")) and result:
        lines.append(control_line(compared(result, control, summary), bool(direct)))
    if result and teacher:
        lines.append(kept_line(result, teacher))
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


def kept_line(result: Sequence[Entry], teacher: Sequence[Entry]) -> str:
    """How much smaller the student is, and the share of the teacher's accuracy that it keeps."""
    kept = mean(tests(list(result))) / max(mean(tests(list(teacher))), 1e-9)
    ratio = teacher[0]["parameters"] / result[0]["parameters"]
    small = "; below 2x there is little to compress" if ratio < 2 else ""
    return f"the student is {ratio:.3g}x smaller and keeps {kept:.1%} of the accuracy{small}"
