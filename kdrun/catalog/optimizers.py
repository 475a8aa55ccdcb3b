"""Optimizers and their options. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class OptimizerRow(Row):
    """An optimizer, built from `parameters, lr, weight_decay, fused` and its own options.

    Attributes:
        states: values stored per parameter.
    """

    states: int


OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(
        code="kdrun.training.optimizer:sgd", reads=("momentum", "nesterov"), states=1
    ),
    "adamw": OptimizerRow(code="kdrun.training.optimizer:adamw", states=2),
}
