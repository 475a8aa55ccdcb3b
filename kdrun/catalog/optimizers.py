"""Optimizers by name. Imports no torch."""

from dataclasses import dataclass

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class OptimizerRow(Row):
    """An optimizer, built from `parameters, lr, weight_decay, fused` and the options that it reads.

    Attributes:
        states: numbers that it keeps of each parameter.
    """

    states: int


OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(
        code="kdrun.training.optimizer:sgd", reads=("momentum", "nesterov"), states=1
    ),
    "adamw": OptimizerRow(code="kdrun.training.optimizer:adamw", states=2),
}
