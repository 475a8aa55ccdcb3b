"""Settings that a diagnosis advises, under the keys that apply in the run."""

from kdrun.store.summary import Entry, result_of

TAUGHT_OR_TEACHING = ("teacher", "assistant")
LONGER = ("control", "direct")
"""Roles of stages that are trained for the total epochs of all students in a chain."""


def of_stage(summary: Entry, stage: Entry, setting: str) -> str:
    """Return `setting` for one stage, under `chain.stage.NUMBER` in a chain or for a teacher.

    Args:
        summary: of the run.
        stage: of the summary.
        setting: `train.epochs=20`.
    """
    own = "chain" in summary or stage["role"] in TAUGHT_OR_TEACHING
    step = stage.get("step")
    if step is None and stage["role"] == "teacher":
        step = 0
    return f"chain.stage.{step}.{setting}" if own and step is not None else setting


def longer(summary: Entry, stage: Entry) -> str:
    """Return the setting for twice the epochs of a stage, or of a control's student."""
    counted = stage
    if stage["role"] in LONGER and (result := result_of(summary)):
        counted = result[0]
    return of_stage(summary, stage, f"train.epochs={2 * counted['epochs']}")


def lower_rate(summary: Entry, stage: Entry, rate: float) -> str:
    """Return the setting for a lower learning rate, or gradient clipping without a known rate."""
    setting = f"train.lr={rate:.2g}" if rate > 0 else "train.grad_clip=1"
    return of_stage(summary, stage, setting)
