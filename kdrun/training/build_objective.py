"""Construction of the objective from a loss mixture and two models."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from torch import nn

from kdrun.catalog.term_row import Term
from kdrun.catalog.terms import section_of
from kdrun.config.loss_mixture import active_terms, as_namespace
from kdrun.config.schema import LossConfig
from kdrun.features.inspection import InspectedModel
from kdrun.losses.term import LossTerm
from kdrun.training.objective import Objective
from kdrun.training.term_models import ObservedLayers, TermModels


@dataclass(frozen=True)
class ObjectiveModels:
    """Facts about the models for building the objective.

    Attributes:
        num_classes: number of classes K of the logits.
        num_images: size of the training split.
        student: needed, like `teacher`, by terms that read hidden states.
        teacher: the first teacher.
        teacher_weights: weights of several teachers; None for equal weights.
        learned_temperature: epochs of warm-up for the gradient of a trained T; None for a given
            T.
        teacher_head: returns the first teacher's classifier.
    """

    num_classes: int
    num_images: int
    student: InspectedModel | None = None
    teacher: InspectedModel | None = None
    teacher_weights: tuple[float, ...] | None = None
    learned_temperature: int | None = None
    teacher_head: Callable[[], nn.Module] | None = None


def build_objective(loss: LossConfig, models: ObjectiveModels) -> tuple[Objective, ObservedLayers]:
    """Return the objective with the active terms, and the layers that they read.

    Raises:
        ConfigError: a layer cannot be used, or the models cannot be compared.
    """
    asked = TermModels(
        section="",
        student=models.student,
        teacher=models.teacher,
        observed=ObservedLayers(),
        num_classes=models.num_classes,
        num_images=models.num_images,
        teacher_weights=models.teacher_weights,
        learned_warmup=models.learned_temperature or 0,
        head=models.teacher_head,
    )
    terms: dict[str, LossTerm] = {}
    active = active_terms(loss)
    for name, term in active.items():
        code = term_class(term.row, learned=models.learned_temperature is not None)
        own = replace(asked, section=f"loss.{section_of(name)}")
        terms[name] = code.build(as_namespace(term.options), own)
    weights = {name: term.weight for name, term in active.items()}
    return Objective(terms, weights, asked.observed.compared), asked.observed


def term_class(row: Term, *, learned: bool = False) -> type[LossTerm]:
    """Import and return the class of a row, or its class with a learned T."""
    module, _, name = ((row.learned if learned else None) or row.code).partition(":")
    found: type[LossTerm] = getattr(import_module(module), name)
    return found
