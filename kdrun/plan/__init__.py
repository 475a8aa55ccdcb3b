"""Plans: the stages of a run, made from its config. Imports no torch."""

from kdrun.plan.assistants import ChainSizes, chain_steps, choose_assistants, geometric_sizes
from kdrun.plan.build import build_plan, head_of
from kdrun.plan.identity import NO_IDENTITY, identity
from kdrun.plan.stage import TEACHER, Stage

__all__ = [
    "NO_IDENTITY",
    "TEACHER",
    "ChainSizes",
    "Stage",
    "build_plan",
    "chain_steps",
    "choose_assistants",
    "geometric_sizes",
    "head_of",
    "identity",
]
