"""The weighted mixture of loss terms that a stage minimises, and the terms it is made of."""

from kdrun.objective.mixture import Objective
from kdrun.objective.outputs import Moment, Outputs

__all__ = ["Moment", "Objective", "Outputs"]
