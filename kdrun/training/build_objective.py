"""Building the objective: the terms of a loss mixture for two models."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from kdrun.config.loss_mixture import soft_options, term_weights
from kdrun.config.schema import LossConfig
from kdrun.errors import ConfigError, near_miss
from kdrun.features.extractor import validate_layers
from kdrun.features.inspection import InspectedModel
from kdrun.features.layer_pairs import match, parse_pairs, stages
from kdrun.losses.alignment import Pair
from kdrun.losses.attention import ActivationAttentionTerm, AttentionMapTerm
from kdrun.losses.hint import FittedHintTerm, HintTerm
from kdrun.losses.label import LabelTerm
from kdrun.losses.learned_temperature import LearnedTemperatureTerm
from kdrun.losses.logit_term import SoftTerm
from kdrun.losses.rkd import RelationTerm
from kdrun.models.heads import PENULTIMATE
from kdrun.training.objective import Objective


@dataclass
class ObservedLayers:
    """The layers that the terms look at, student's and teacher's."""

    student_hidden: list[str] = field(default_factory=list)
    teacher_hidden: list[str] = field(default_factory=list)
    student_attention: list[str] = field(default_factory=list)
    teacher_attention: list[str] = field(default_factory=list)

    def add(self, pairs: Sequence[Pair], *, attention: bool = False) -> None:
        """Note the layers of the pairs."""
        ours = self.student_attention if attention else self.student_hidden
        theirs = self.teacher_attention if attention else self.teacher_hidden
        ours += [pair.student for pair in pairs if pair.student not in ours]
        theirs += [pair.teacher for pair in pairs if pair.teacher not in theirs]


def build_objective(
    loss: LossConfig,
    student: InspectedModel | None = None,
    teacher: InspectedModel | None = None,
    *,
    learned_temperature: int | None = None,
    teacher_weights: Sequence[float] | None = None,
) -> tuple[Objective, ObservedLayers]:
    """The objective with the terms that have a weight, and the layers they look at.

    Args:
        loss: the options.
        student: needed, like `teacher`, where a term looks at hidden states.
        teacher: the first teacher.
        learned_temperature: the epochs over which a trained T gets its full gradient; None for
            a T that is given.
        teacher_weights: of several teachers.

    Raises:
        ConfigError: a layer that cannot be used, or models that cannot be compared.
    """
    weights = term_weights(loss)
    wanted = ObservedLayers()
    terms: dict[str, nn.Module] = {}
    for name in weights:
        if name == "hard":
            terms[name] = LabelTerm(loss.label_smoothing)
        elif name == "soft":
            terms[name] = soft_term(loss, learned_temperature, teacher_weights)
        else:
            assert student is not None
            assert teacher is not None
            terms[name] = HIDDEN_TERMS[name](loss, student, teacher, wanted)
    return Objective(terms, weights), wanted


def soft_term(
    loss: LossConfig, learned_temperature: int | None, teacher_weights: Sequence[float] | None
) -> nn.Module:
    """The soft term of the loss."""
    if learned_temperature is not None:
        return LearnedTemperatureTerm(learned_temperature)
    return SoftTerm(
        loss.soft,
        soft_options(loss),
        standardize=loss.standardize,
        warmup_epochs=loss.dkd.warmup_epochs if loss.soft == "dkd" else 0,
        teacher_weights=teacher_weights,
    )


def hint_term(
    loss: LossConfig, student: InspectedModel, teacher: InspectedModel, wanted: ObservedLayers
) -> nn.Module:
    """Hints between the layers named, or between the stages of both models."""
    pairs = hidden_pairs("loss.hint.layers", loss.hint.layers, student, teacher)
    wanted.add(pairs)
    kind = FittedHintTerm if loss.hint.projection == "closed_form" else HintTerm
    return kind(pairs, loss.hint.reduction)


def attention_term(
    loss: LossConfig, student: InspectedModel, teacher: InspectedModel, wanted: ObservedLayers
) -> nn.Module:
    """Attention of transformers where both are, else of feature maps."""
    named, kind = loss.attention.layers, loss.attention.kind
    if kind == "auto":
        kind = "mse" if student.attention and teacher.attention else "activation"
    if kind == "activation":
        pairs = hidden_pairs("loss.attention.layers", named, student, teacher)
        wanted.add(pairs)
        return ActivationAttentionTerm(pairs)
    for model in (student, teacher):
        if not model.attention:
            raise ConfigError(
                f"loss.attention.kind={kind}: {model.name} has no attention maps; "
                "use loss.attention.kind=activation"
            )
    found = parse_pairs(named) or match(student.attention, teacher.attention)
    for model, paths in ((student, [s for s, _ in found]), (teacher, [t for _, t in found])):
        for path in paths:
            if path not in model.attention:
                raise ConfigError(
                    f"loss.attention.layers: '{path}' is no attention module of {model.name}"
                    f"{near_miss(path, model.attention)}"
                )
    pairs = [Pair(*pair) for pair in found]
    wanted.add(pairs, attention=True)
    return AttentionMapTerm(pairs, kind)


def relation_term(
    kind: str,
    loss: LossConfig,
    student: InspectedModel,
    teacher: InspectedModel,
    wanted: ObservedLayers,
) -> nn.Module:
    """Relations among what goes into the classifiers, or the outputs of the layers named."""
    if loss.rkd.layer is None:
        pair = Pair(PENULTIMATE, PENULTIMATE)
    else:
        (pair,) = hidden_pairs("loss.rkd.layer", [loss.rkd.layer], student, teacher)
    wanted.add([pair])
    return RelationTerm(pair, kind)


HIDDEN_TERMS = {
    "hint": hint_term,
    "attention": attention_term,
    "distance": lambda *given: relation_term("distance", *given),
    "angle": lambda *given: relation_term("angle", *given),
}


def hidden_pairs(
    key: str, named: Sequence[str], student: InspectedModel, teacher: InspectedModel
) -> list[Pair]:
    """The pairs named by the user, or the models' stages, with their widths.

    Raises:
        ConfigError: a layer that cannot be used, or no stages to be found.
    """
    if named:
        found = parse_pairs(named)
        validate_layers(student.name, student.layers, [s for s, _ in found], key)
        validate_layers(teacher.name, teacher.layers, [t for _, t in found], key)
    else:
        ours, theirs = stages(student.layers), stages(teacher.layers)
        for model, layers in ((student, ours), (teacher, theirs)):
            if not layers:
                raise ConfigError(
                    f"{key}: {model.name} has no stages that can be found; name layers "
                    f"('kdrun layers {model.name}' lists them)"
                )
        found = match(ours, theirs)
    return [Pair(s, t, student.width(s), teacher.width(t)) for s, t in found]
