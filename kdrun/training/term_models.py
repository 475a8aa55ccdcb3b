"""Layers, widths and attention of student and teacher, for building loss terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn

from kdrun.errors import ConfigError, near_miss
from kdrun.features.extractor import validate_layers
from kdrun.features.inspection import InspectedModel
from kdrun.features.layer_pairs import match, parse_pairs, stages
from kdrun.losses.alignment import Pair
from kdrun.models.heads import PENULTIMATE


@dataclass
class ObservedLayers:
    """Layers of student and teacher that the terms read.

    Attributes:
        compared: 'STUDENT:TEACHER' for each pair, by the section of the term that compares them.
    """

    student_hidden: list[str] = field(default_factory=list)
    teacher_hidden: list[str] = field(default_factory=list)
    student_attention: list[str] = field(default_factory=list)
    teacher_attention: list[str] = field(default_factory=list)
    compared: dict[str, list[str]] = field(default_factory=dict)

    def add(self, section: str, pairs: Sequence[Pair], *, attention: bool = False) -> None:
        """Add the layers of the pairs that the term of a section compares."""
        compared = self.compared.setdefault(section, [])
        names = [f"{pair.student}:{pair.teacher}" for pair in pairs]
        compared += [name for name in names if name not in compared]
        ours = self.student_attention if attention else self.student_hidden
        theirs = self.teacher_attention if attention else self.teacher_hidden
        ours += [pair.student for pair in pairs if pair.student not in ours]
        theirs += [pair.teacher for pair in pairs if pair.teacher not in theirs]


@dataclass
class TermModels:
    """Student and teacher for building a term; collects the layers that the term requests.

    Attributes:
        section: key of the term's options, for messages.
        student: needed, like `teacher`, by terms that read hidden states.
        teacher: the first teacher.
        observed: collects the layers.
        head: returns the first teacher's classifier.
    """

    section: str
    student: InspectedModel | None
    teacher: InspectedModel | None
    observed: ObservedLayers
    num_classes: int
    num_images: int
    teacher_weights: Sequence[float] | None = None
    learned_warmup: int = 0
    head: Callable[[], nn.Module] | None = None

    def pairs(self, option: str, named: Sequence[str]) -> list[Pair]:
        """Return the pairs named by the user, or the models' stages, with their widths.

        Raises:
            ConfigError: a layer cannot be used, or no stages were found.
        """
        student, teacher = self._inspected()
        key = f"{self.section}.{option}"
        if named:
            found = parse_pairs(named)
            validate_layers(student.name, student.layers, [s for s, _ in found], key)
            validate_layers(teacher.name, teacher.layers, [t for _, t in found], key)
        else:
            found = match(*(_stages_of(model, key) for model in (student, teacher)))
        pairs = [Pair(s, t, student.width(s), teacher.width(t)) for s, t in found]
        self.observed.add(self.section, pairs)
        return pairs

    def penultimate(self) -> Pair:
        """Return the pair of inputs of the classifiers."""
        student, teacher = self._inspected()
        pair = Pair(PENULTIMATE, PENULTIMATE, student.penultimate, teacher.penultimate)
        self.observed.add(self.section, [pair])
        return pair

    def have_attention(self) -> bool:
        """Whether both models have attention maps."""
        return all(model.attention for model in self._inspected())

    def attention_pairs(self, option: str, named: Sequence[str], why: str) -> list[Pair]:
        """Return the pairs of attention modules named by the user, or all by relative depth.

        Raises:
            ConfigError: a model has no attention maps, or no such module.
        """
        student, teacher = self._inspected()
        for model in (student, teacher):
            if not model.attention:
                raise ConfigError(
                    f"{why}: {model.name} has no attention maps; use {self.section}.kind=activation"
                )
        found = parse_pairs(named) or match(student.attention, teacher.attention)
        for model, paths in ((student, [s for s, _ in found]), (teacher, [t for _, t in found])):
            for path in paths:
                if path not in model.attention:
                    raise ConfigError(
                        f"{self.section}.{option}: '{path}' is not an attention module of "
                        f"{model.name}{near_miss(path, model.attention)}"
                    )
        pairs = [Pair(*pair) for pair in found]
        self.observed.add(self.section, pairs, attention=True)
        return pairs

    def teacher_head(self) -> nn.Module:
        """Return the first teacher's classifier."""
        if self.head is None:
            raise ConfigError(f"{self.section}: needs one teacher whose classifier can be found")
        return self.head()

    def _inspected(self) -> tuple[InspectedModel, InspectedModel]:
        if self.student is None or self.teacher is None:
            raise TypeError(f"{self.section}: its row does not say that it reads hidden states")
        return self.student, self.teacher


def _stages_of(model: InspectedModel, key: str) -> list[str]:
    found = stages(model.layers)
    if not found:
        raise ConfigError(
            f"{key}: {model.name} has no stages that can be found; name layers "
            f"('kdrun layers {model.name}' lists them)"
        )
    return found
