"""Checks of chains and seeds."""

from collections.abc import Callable
from dataclasses import asdict, replace

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.catalog.rows import readers
from kdrun.config.loss_mixture import needs_teacher
from kdrun.config.schema import Config
from kdrun.config.stage_overrides import stage_options
from kdrun.config.value_faults import shown_value
from kdrun.errors import near_miss

LARGEST_SEED = 2**53


def _required_options(config: Config) -> str | None:
    chain = config.chain
    required = CHAIN_METHODS[chain.method].required
    empty = [name for name in required if not getattr(chain, name)]
    return f"chain.{empty[0]}: is empty; {required[empty[0]]}" if empty else None


def _options_of_other_chains(config: Config) -> str | None:
    """Refuse a list or a switch that only other chains read."""
    chain = config.chain
    for name, value in asdict(chain).items():
        found = readers(CHAIN_METHODS, name)
        given = value is True or (isinstance(value, list) and value)
        if given and found and chain.method not in found:
            shown = f"={shown_value(value)}" if isinstance(value, list) else ""
            chains = " or ".join(f"chain={one}" for one in found)
            return f"chain.{name}{shown}: is for {chains}, not {chain.method}; add {chains}"
    return None


def _known_assistants(config: Config) -> str | None:
    unknown = [name for name in config.chain.assistants if name not in ARCHITECTURES]
    if not unknown or config.teacher.library == "timm":
        return None
    return f"chain.assistants: unknown model '{unknown[0]}'{near_miss(unknown[0], ARCHITECTURES)}"


def _no_model_twice(config: Config) -> str | None:
    if config.chain.method not in readers(CHAIN_METHODS, "assistants"):
        return None  # refused for that
    # Assistants have the default width and depth of their architecture.
    assistants = [(name, None, None) for name in config.chain.assistants]
    ends = [(model.arch, model.width, model.depth) for model in (config.teacher, config.student)]
    twice = [one for one in assistants if [*ends, *assistants].count(one) > 1]
    return f"chain.assistants: {twice[0][0]} appears twice in the chain" if twice else None


def _taught_by_a_teacher(config: Config) -> str | None:
    if not CHAIN_METHODS[config.chain.method].teaches or needs_teacher(config.loss):
        return None
    return f"chain={config.chain.method}: no term of the loss reads a teacher; see loss="


def _fresh_generations(config: Config) -> str | None:
    method = config.chain.method
    if not CHAIN_METHODS[method].generations or config.student.weights is None:
        return None
    return f"student.weights: each generation of chain={method} is a fresh network; leave it out"


def _stages_exist(config: Config) -> str | None:
    chain = config.chain
    last = CHAIN_METHODS[chain.method].last_stage(chain)
    beyond = [position for position in chain.stage if int(position) > last]
    return f"chain.stage.{beyond[0]}: the chain's last stage is {last}" if beyond else None


def _labels_only_first(config: Config) -> str | None:
    for section in ("loss", "temperature"):
        if section in config.chain.stage.get("0", {}):
            return (
                f"chain.stage.0.{section}: stage 0 learns from labels alone; only train.* applies"
            )
    return None


def _seeds(config: Config) -> str | None:
    seeds = config.seeds
    if len(set(seeds)) == len(seeds) and all(0 <= seed <= LARGEST_SEED for seed in seeds):
        return None
    return f"seeds={shown_value(seeds)}: must be different whole numbers, at least 0, as in [0,1,2]"


CHAIN_CHECKS: tuple[Callable[[Config], str | None], ...] = (
    _required_options,
    _options_of_other_chains,
    _known_assistants,
    _no_model_twice,
    _taught_by_a_teacher,
    _fresh_generations,
    _stages_exist,
    _labels_only_first,
    _seeds,
)


def at_stage(config: Config, position: str) -> Config:
    """Return the config with the options of one stage in place of the common ones."""
    own = stage_options(config, int(position))
    return replace(
        config,
        loss=own.loss,
        temperature=own.temperature,
        train=own.train,
        chain=replace(config.chain, stage={}),
    )
