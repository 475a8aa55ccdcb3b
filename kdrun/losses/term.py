"""Base class of loss terms, and their inputs: model outputs and the point in training."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple, Protocol, Self

from torch import Tensor, nn

from kdrun.losses.alignment import Pair, aligned


class Outputs(NamedTuple):
    """Outputs of a model for a batch.

    Attributes:
        logits: (N, K); of the first of several teachers.
        hidden: outputs of the layers requested by terms, by path.
        attention: (N, heads, L, L) maps of the attention modules requested by terms, by path.
        ensemble: the logits of every teacher if there are several.
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
        indices: (N,) positions of the batch's images in the training split.
    """

    T: float
    epoch: int = 0
    indices: Tensor | None = None


class Models(Protocol):
    """Properties of student and teacher available when a term is built.

    Attributes:
        num_classes: K of the logits.
        num_images: size of the training split.
        teacher_weights: of several teachers; None for equal weights.
        learned_warmup: epochs until a learned T gets its full gradient.
    """

    num_classes: int
    num_images: int
    teacher_weights: Sequence[float] | None
    learned_warmup: int

    def pairs(self, option: str, named: Sequence[str]) -> list[Pair]:
        """The layers to compare: the ones named by the option, or else the models' stages."""
        ...

    def penultimate(self) -> Pair:
        """The inputs of the classifiers."""
        ...

    def have_attention(self) -> bool:
        """Whether both models have attention maps."""
        ...

    def attention_pairs(self, option: str, named: Sequence[str], why: str) -> list[Pair]:
        """The attention modules to compare; error messages quote `why` they are needed."""
        ...

    def teacher_head(self) -> nn.Module:
        """The first teacher's classifier, frozen.

        A term keeps it in a list: as a module of its own it would be trained and saved with it.
        """
        ...


class EpochFit(Protocol):
    """Sums over outputs of both models for fitting a term before an epoch."""

    def update(self, student: Outputs, teacher: Outputs) -> None:
        """Add a batch."""
        ...

    def finish(self) -> None:
        """Fit the term."""
        ...


class LossTerm(nn.Module, ABC):
    """A term of the objective; its parameters are trained with the student.

    Subclasses implement `forward`; overriding the other methods is optional.
    """

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> "LossTerm":
        """Build the term for two models.

        Args:
            options: of the term's row, with the values of the config.
            models: properties of student and teacher.

        Raises:
            ConfigError: the term cannot compare these models.
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
            labels: (N,) class indices, or (N, K) probabilities of mixed images.
            context: the point in training.
        """

    def strength(self, epoch: int) -> float:
        """The factor of the loss in the 0-based epoch."""
        return 1.0

    def epoch_fit(self) -> EpochFit | None:
        """Empty sums for fitting the term before each epoch, or None."""
        return None

    def numbers(self) -> dict[str, float]:
        """The term's own metrics of an epoch, by name."""
        return {}


class PairedTerm(LossTerm):
    """A loss between hidden states of paired layers, summed over the pairs.

    Args:
        pairs: of layers.
        options: those of the term's row.
    """

    def __init__(self, pairs: Sequence[Pair], options: SimpleNamespace | None = None) -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.options = options or SimpleNamespace()

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """Build the term between the layers of its option `layers`, or between the stages."""
        return cls(models.pairs("layers", options.layers), options)

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
    """The aligned hidden states of student and teacher for each pair of layers."""
    return [aligned(student.hidden[one.student], teacher.hidden[one.teacher]) for one in pairs]


def total(losses: Iterable[Tensor]) -> Tensor:
    """The sum of one or more scalars, from left to right."""
    first, *others = losses
    for loss in others:
        first = first + loss
    return first


def linear_warmup(epoch: int, epochs: int) -> float:
    """A factor rising from 1/epochs in epoch 0 (0-based) to 1 in the last warm-up epoch."""
    return min(1.0, (epoch + 1) / epochs) if epochs else 1.0
