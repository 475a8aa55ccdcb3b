"""Protocol of a loss term, and its inputs: the outputs of a model and the point in training."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple, Protocol, Self

from torch import Tensor, nn

from kdrun.losses.alignment import Pair, aligned


class Outputs(NamedTuple):
    """Outputs of a model for a batch.

    Attributes:
        logits: (N, K); of several teachers the first's.
        hidden: outputs of the layers that a term named, by path.
        attention: (N, heads, L, L) maps of the attention modules that a term named, by path.
        ensemble: the logits of every teacher where there are several.
    """

    logits: Tensor
    hidden: Mapping[str, Tensor] = {}
    attention: Mapping[str, Tensor] = {}
    ensemble: tuple[Tensor, ...] = ()


class StepContext(NamedTuple):
    """The point in training.

    Attributes:
        T: the scheduled temperature.
        epoch: 0-based.
        indices: (N,) places of the batch's images in the training split.
    """

    T: float
    epoch: int = 0
    indices: Tensor | None = None


class Models(Protocol):
    """What a term may ask of student and teacher when it is built.

    Attributes:
        num_classes: K of the logits.
        num_images: of the training split.
        teacher_weights: of several teachers; None for equal ones.
        learned_warmup: epochs over which a learned T gets its full gradient.
    """

    num_classes: int
    num_images: int
    teacher_weights: Sequence[float] | None
    learned_warmup: int

    def pairs(self, option: str, named: Sequence[str]) -> list[Pair]:
        """The layers to compare: those named by the option, or else the models' stages."""
        ...

    def penultimate(self) -> Pair:
        """What goes into the classifiers."""
        ...

    def have_attention(self) -> bool:
        """Whether both models have attention maps."""
        ...

    def attention_pairs(self, option: str, named: Sequence[str], why: str) -> list[Pair]:
        """The attention modules to compare; `why` they are needed, for the message."""
        ...

    def teacher_head(self) -> nn.Module:
        """The first teacher's classifier."""
        ...


class EpochFit(Protocol):
    """Sums over outputs of both models, from which a term is fitted before an epoch."""

    def update(self, student: Outputs, teacher: Outputs) -> None:
        """Add a batch."""
        ...

    def finish(self) -> None:
        """Fit the term."""
        ...


class LossTerm(nn.Module, ABC):
    """A term of the objective; its parameters are trained with the student.

    A subclass has `forward`; the other methods are for terms that need them.
    """

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> "LossTerm":
        """The term for two models.

        Args:
            options: those of the term's row, with the values of the config.
            models: what is known of student and teacher.

        Raises:
            ConfigError: the models cannot be compared so.
        """
        return cls()

    @abstractmethod
    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            student: with gradient.
            teacher: without.
            labels: (N,) class indices, or (N, K) probabilities where images are mixed.
            context: the point in training.
        """

    def strength(self, epoch: int) -> float:
        """The factor of the loss in the 0-based epoch."""
        return 1.0

    def epoch_fit(self) -> EpochFit | None:
        """Sums to fit the term from before each epoch, or None."""
        return None

    def numbers(self) -> dict[str, float]:
        """Numbers of the term for the metrics of an epoch, by name."""
        return {}


class PairedTerm(LossTerm):
    """A loss between hidden states of paired layers, summed over the pairs."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.pairs = list(pairs)

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """The term between the layers that its option `layers` names, or the stages."""
        return cls(models.pairs("layers", options.layers))

    @abstractmethod
    def pair_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of one pair of hidden states, both maps, both tokens or both vectors."""

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The sum over the pairs."""
        states = aligned_states(self.pairs, student, teacher)
        return total(self.pair_loss(*pair) for pair in states)


def aligned_states(
    pairs: Sequence[Pair], student: Outputs, teacher: Outputs
) -> list[tuple[Tensor, Tensor]]:
    """The hidden states of each pair of layers, student's and teacher's, in one shape."""
    return [aligned(student.hidden[one.student], teacher.hidden[one.teacher]) for one in pairs]


def total(losses: Iterable[Tensor]) -> Tensor:
    """The sum of one or more scalars, from left to right."""
    first, *others = losses
    for loss in others:
        first = first + loss
    return first


def linear_warmup(epoch: int, epochs: int) -> float:
    """1/epochs in the 0-based epoch 0, rising to 1 in the last of so many."""
    return min(1.0, (epoch + 1) / epochs) if epochs else 1.0
