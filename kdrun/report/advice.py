"""Settings that a diagnosis advises, under the key that works in the run."""

from kdrun.store.summary import Entry, result_of

TAUGHT_OR_TEACHING = ("teacher", "assistant")
LONGER = ("control", "direct")
"""Roles of stages that are trained for as many epochs as all pupils of a chain together."""


def of_stage(summary: Entry, stage: Entry, setting: str) -> str:
    """`setting` for one stage: of a teacher, and in a chain, under `chain.stage.NUMBER`.

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
    """Twice the epochs of a stage; of a control those of the pupil that it stands for."""
    counted = stage
    if stage["role"] in LONGER and (result := result_of(summary)):
        counted = result[0]
    return of_stage(summary, stage, f"train.epochs={2 * counted['epochs']}")


def lower_rate(summary: Entry, stage: Entry, rate: float) -> str:
    """A lower learning rate; where none is known a bound on the gradient."""
    setting = f"train.lr={rate:.2g}" if rate > 0 else "train.grad_clip=1"
    return of_stage(summary, stage, setting)
