"""Row of a loss term: options, inputs, code. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from types import SimpleNamespace

from kdrun.catalog.options import Option


class Reads(Flag):
    """Inputs of a term, in addition to the student's logits and the labels."""

    LABELS = 0
    PROBABILITIES = auto()
    """The teacher's logits up to a constant; top-k probabilities suffice."""
    LOGITS = auto()
    """The teacher's exact logits."""
    CLASS_LABELS = auto()
    """Labels as class indices, unavailable under mixup and cutmix."""
    HIDDEN = auto()
    """Hidden states of both models, including the inputs of their classifiers."""
    ATTENTION = auto()
    """Attention maps of both models."""
    INDICES = auto()
    """Indices of the images in the training split."""
    TEACHER_HEAD = auto()
    """The teacher's classifier."""


TEACHER = Reads.PROBABILITIES | Reads.LOGITS | Reads.HIDDEN | Reads.ATTENTION | Reads.TEACHER_HEAD
INSIDE = Reads.HIDDEN | Reads.ATTENTION | Reads.TEACHER_HEAD


class Temperature(Enum):
    """Use of the temperature by a term: none, finite T, or also the limit at T = inf."""

    NONE = auto()
    FINITE = auto()
    ANY = auto()


@dataclass(frozen=True)
class Term:
    """A loss term of the catalog.

    Attributes:
        code: `module:class` of its `kdrun.losses.term.LossTerm`, imported for training.
        label: name in formulas.
        paper: source.
        reads: inputs.
        options: options of its section in `loss`, in the order of `--help`; see `weight`.
        preset: `configs/loss/NAME.yaml` that enables the term; empty for the row's own name.
        section: section of `loss`; rows may share a section and the options in common.
        weight: key of its weight in the section.
        shared: options of `loss` itself in use.
        temperature: use of T by a soft term.
        soft: whether the weight defaults to loss.weights.soft or alpha.
        short: other names that loss.soft accepts.
        learned: code of the term that replaces this one when T is learned.
        least_batch: images needed in a batch.
        couples_batch: whether the value is not a mean over samples, so that all processes' samples
            are needed.
        lowest_at_teacher: whether equal outputs of both models minimise the loss.
        among_others: option that weights the part among the non-target classes.
        check: returns an error in the options, or None.
    """

    code: str
    label: str
    paper: str
    reads: Reads
    options: Mapping[str, Option] = field(default_factory=dict)
    preset: str = ""
    section: str = ""
    weight: str = "weight"
    shared: tuple[str, ...] = ()
    temperature: Temperature = Temperature.NONE
    soft: bool = False
    short: tuple[str, ...] = ()
    learned: str | None = None
    least_batch: int = 1
    couples_batch: bool = False
    lowest_at_teacher: bool = False
    among_others: str | None = None
    check: Callable[[SimpleNamespace], str | None] | None = None

    @property
    def needs_teacher(self) -> bool:
        """Whether the term reads the teacher."""
        return bool(self.reads & TEACHER)

    @property
    def looks_inside(self) -> bool:
        """Whether the term reads more of the teacher than its logits."""
        return bool(self.reads & INSIDE)
