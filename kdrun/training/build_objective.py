"""Building the objective: the terms of a loss mixture for two models."""

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
    """What is known of the models when the objective is built.

    Attributes:
        num_classes: K of the logits.
        num_images: of the training split.
        student: needed, like `teacher`, where a term looks inside the models.
        teacher: the first teacher.
        teacher_weights: of several teachers; None for equal ones.
        learned_temperature: the epochs over which a trained T gets its full gradient; None for a
            T that is given.
        teacher_head: gives the first teacher's classifier.
    """

    num_classes: int
    num_images: int
    student: InspectedModel | None = None
    teacher: InspectedModel | None = None
    teacher_weights: tuple[float, ...] | None = None
    learned_temperature: int | None = None
    teacher_head: Callable[[], nn.Module] | None = None


def build_objective(loss: LossConfig, models: ObjectiveModels) -> tuple[Objective, ObservedLayers]:
    """The objective with the terms that have a weight, and the layers they look at.

    Raises:
        ConfigError: a layer that cannot be used, or models that cannot be compared.
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
    return Objective(terms, weights), asked.observed


def term_class(row: Term, *, learned: bool = False) -> type[LossTerm]:
    """The class that a row names, imported; of a learned T the one that learns it."""
    module, _, name = ((row.learned if learned else None) or row.code).partition(":")
    found: type[LossTerm] = getattr(import_module(module), name)
    return found
