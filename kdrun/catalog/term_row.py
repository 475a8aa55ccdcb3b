"""What the row of a loss term tells. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from types import SimpleNamespace

from kdrun.catalog.options import Option


class Reads(Flag):
    """What a term looks at, beside the student's logits and the labels."""

    LABELS = 0
    PROBABILITIES = auto()
    """The teacher's logits up to a constant, so that its likeliest classes may stand for them."""
    LOGITS = auto()
    """The teacher's logits themselves."""
    CLASS_LABELS = auto()
    """Labels as class indices, which mixup and cutmix do not leave."""
    HIDDEN = auto()
    """Outputs of layers of both models, what goes into their classifiers included."""
    ATTENTION = auto()
    """Attention maps of both models."""
    INDICES = auto()
    """The images' places in the training split."""
    TEACHER_HEAD = auto()
    """The teacher's classifier."""


TEACHER = Reads.PROBABILITIES | Reads.LOGITS | Reads.HIDDEN | Reads.ATTENTION | Reads.TEACHER_HEAD
INSIDE = Reads.HIDDEN | Reads.ATTENTION | Reads.TEACHER_HEAD


class Temperature(Enum):
    """Whether a term softens logits, and whether its loss has a limit at T = inf."""

    NONE = auto()
    FINITE = auto()
    ANY = auto()


@dataclass(frozen=True)
class Term:
    """A loss term.

    Attributes:
        code: `module:class` of its `kdrun.losses.term.LossTerm`, imported where a stage trains.
        label: as formulas show it.
        paper: where it comes from.
        reads: what it looks at.
        options: of its section of `loss`, in the order of `--help`; the weight is the one whose
            key is `weight`.
        preset: `configs/loss/NAME.yaml` that switches it on; empty for the row's own name.
        section: of `loss`; of several rows they may share it, with the options in common.
        weight: key of its weight in the section.
        shared: options of `loss` itself that it reads.
        temperature: of a soft term, whether and how it reads T.
        soft: whether its weight may be left to loss.weights.soft and alpha.
        short: other names by which loss.soft may call it.
        learned: code of the term that takes its place where T is learned.
        least_batch: images that it compares.
        couples_batch: whether its value is not a mean over samples, so that it needs those of all
            processes.
        lowest_at_teacher: whether equal outputs of both models minimise it.
        among_others: option that weights its part among the classes beside the label's.
        check: what is wrong with its options, or None.
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
        """Whether it looks at the teacher at all."""
        return bool(self.reads & TEACHER)

    @property
    def looks_inside(self) -> bool:
        """Whether the teacher's logits alone are not enough for it."""
        return bool(self.reads & INSIDE)
