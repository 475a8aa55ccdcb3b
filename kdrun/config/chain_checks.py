"""Checks of chains and of several seeds."""

from collections.abc import Callable
from dataclasses import replace

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.loss_mixture import needs_teacher
from kdrun.config.schema import Config
from kdrun.config.stage_overrides import stage_options
from kdrun.errors import near_miss

LARGEST_SEED = 2**53


def _assistants_wanted(config: Config) -> str | None:
    chain = config.chain
    if chain.method == "assistants" and not chain.assistants:
        return "chain.assistants: is empty; name at least one, or let chain=auto choose"
    if chain.method != "assistants" and chain.assistants:
        return f"chain.assistants={chain.assistants}: is for chain=assistants, not {chain.method}"
    return None


def _known_assistants(config: Config) -> str | None:
    unknown = [name for name in config.chain.assistants if name not in ARCHITECTURES]
    if not unknown or config.teacher.library == "timm":
        return None
    return f"chain.assistants: unknown model '{unknown[0]}'{near_miss(unknown[0], ARCHITECTURES)}"


def _no_model_twice(config: Config) -> str | None:
    # Assistants are built as wide and deep as their architecture is by default.
    assistants = [(name, None, None) for name in config.chain.assistants]
    ends = [(model.arch, model.width, model.depth) for model in (config.teacher, config.student)]
    twice = [one for one in assistants if [*ends, *assistants].count(one) > 1]
    return f"chain.assistants: {twice[0][0]} stands twice in the chain" if twice else None


def _taught_by_a_teacher(config: Config) -> str | None:
    if config.chain.method == "none" or needs_teacher(config.loss):
        return None
    return f"chain={config.chain.method}: no term of the loss looks at a teacher; see loss="


def _fresh_generations(config: Config) -> str | None:
    if config.chain.method != "born_again" or config.student.weights is None:
        return None
    return "student.weights: each generation of chain=born_again is a fresh network; leave it out"


def _born_again_only(config: Config) -> str | None:
    chain = config.chain
    asked = [name for name in ("stop_early", "ensemble_control") if getattr(chain, name)]
    if not asked or chain.method == "born_again":
        return None
    return f"chain.{asked[0]}: is for chain=born_again, not {chain.method}"


def _stages_exist(config: Config) -> str | None:
    chain = config.chain
    last = {
        "none": 1,
        "assistants": len(chain.assistants) + 1,
        "auto": chain.max_assistants + 1,
        "born_again": chain.generations - 1,
    }[chain.method]
    beyond = [position for position in chain.stage if int(position) > last]
    return f"chain.stage.{beyond[0]}: the chain's last stage is {last}" if beyond else None


def _labels_only_first(config: Config) -> str | None:
    for section in ("loss", "temperature"):
        if section in config.chain.stage.get("0", {}):
            return (
                f"chain.stage.0.{section}: stage 0 learns from labels alone; set its train.* only"
            )
    return None


def _seeds(config: Config) -> str | None:
    seeds = config.seeds
    if len(set(seeds)) == len(seeds) and all(0 <= seed <= LARGEST_SEED for seed in seeds):
        return None
    return f"seeds={seeds}: must be different whole numbers, at least 0"


CHAIN_CHECKS: tuple[Callable[[Config], str | None], ...] = (
    _assistants_wanted,
    _known_assistants,
    _no_model_twice,
    _taught_by_a_teacher,
    _fresh_generations,
    _born_again_only,
    _stages_exist,
    _labels_only_first,
    _seeds,
)


def at_stage(config: Config, position: str) -> Config:
    """The config with the options of one stage in place of the common ones."""
    own = stage_options(config, int(position))
    return replace(
        config,
        loss=own.loss,
        temperature=own.temperature,
        train=own.train,
        chain=replace(config.chain, stage={}),
    )
