"""Reading of a run folder; the folder is untrusted, so nothing in it is executed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.parse import keys, parse
from kdrun.config.schema import Config
from kdrun.errors import (
    ConfigError,
    DamagedError,
    DataError,
    KdrunError,
    WeightsError,
    reason,
)
from kdrun.store.folders import refuse_links
from kdrun.store.formats import ENVIRONMENT as ENVIRONMENT_SHAPE
from kdrun.store.formats import PLAN as PLAN_SHAPE
from kdrun.store.run_folder import CONFIG, ENVIRONMENT, PLAN, trained_stages
from kdrun.store.saved_config import saved_config
from kdrun.store.shapes import read_shaped
from kdrun.store.stages import IDENTITY, STORE, root_with_store
from kdrun.store.sweep_folder import SWEEP
from kdrun.training.context import StageRun

_HASH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class SavedRun:
    """Content of the folder of an earlier run.

    Attributes:
        config: config composed at the start of the run.
        stages: stages of `plan.json`.
        precision: resolved precision, which affects the result and may differ on another device.
        threads: number of CPU threads, which affects the result too.
        trained: positions of the stages that the run started to train.
    """

    config: DictConfig
    stages: list[dict[str, Any]]
    precision: str
    threads: int
    trained: list[int]


def read_run(folder: Path) -> SavedRun:
    """Read the files of a run.

    Raises:
        ConfigError: the folder is not a run.
        DamagedError: a file fails its checksum.
        OutputError: a file is a link.
    """
    if not (folder / CONFIG).exists():
        if (folder / SWEEP).exists():
            raise ConfigError(f"{folder}: is a sweep; give the folder of a job: {folder / '0'}")
        raise ConfigError(f"{folder}: is not the folder of a run or a sweep (no {CONFIG})")
    refuse_links(folder)
    environment = read_shaped(folder / ENVIRONMENT, ENVIRONMENT_SHAPE)
    plan = read_shaped(folder / PLAN, PLAN_SHAPE)
    try:
        stages = [checked_stage(stage) for stage in plan["stages"]]
        precision, threads = str(environment["precision"]), int(environment["threads"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{folder / PLAN} or {ENVIRONMENT} is not of this kdrun") from error
    config = saved_config(folder / CONFIG)
    return SavedRun(config, stages, precision, threads, trained_stages(folder))


def parsed(saved: DictConfig, path: Path, changes: Mapping[str, Any]) -> Config:
    """Return the saved config with the changes, parsed and checked."""
    config: DictConfig = saved.copy()
    try:
        for key, value in {**later_settings(saved), **changes}.items():
            OmegaConf.update(config, key, value)
        return parse(config)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path} is not a config of this kdrun: {reason(error)}") from error


def later_settings(saved: DictConfig) -> dict[str, Any]:
    """Return the defaults of settings added to kdrun after the config was saved.

    A setting that affects a result changes the identity of its stages, detected by `check_same`.
    """
    absent = [key for key in keys() if not has(saved, key.split("."))]
    if not absent:
        return {}
    from kdrun.config.compose import compose_job  # noqa: PLC0415 - imports all of Hydra

    defaults = compose_job([])
    return {key: OmegaConf.select(defaults, key) for key in absent}


def has(section: Any, path: Sequence[str]) -> bool:
    """Whether the key exists, even if null."""
    if not path:
        return True
    return OmegaConf.is_dict(section) and path[0] in section and has(section[path[0]], path[1:])


def checked_stage(stage: Any) -> dict[str, Any]:
    """Return a stage of `plan.json` after checking its types."""
    origin = stage["identity"].get("origin")
    known = origin is None or (_HASH.fullmatch(origin[0]) and type(origin[1]) is int)
    T = stage["T"]
    known = known and (T in (None, "auto", "inf") or (type(T) in (int, float) and 0 < T <= 1000))
    if not known or type(stage["epochs"]) is not int or not _HASH.fullmatch(stage["hash"]):
        raise ValueError("not a stage")
    return {**stage}


def output_root(folder: Path, config: Config) -> Path:
    """Return the run's output root, found from its folder, so that both can be moved together.

    Raises:
        ConfigError: the output root cannot be found.
    """
    root = root_with_store(folder)
    if root is not None:
        return root
    stages = [path.resolve() for path in sorted((folder / "stages").glob("*"))]
    stages = [stage for stage in stages if (stage / IDENTITY).is_file()]
    for stage in stages:
        if stage.parent.name == STORE:
            return stage.parent.parent
    if stages:  # copies, which are read and never trained on
        return folder.parent
    saved = Path(config.output_root)
    if not saved.is_absolute() and ".." not in saved.parts:
        return saved
    raise ConfigError(
        f"{folder}: kept its stages in {saved}; to use that folder add output_root={saved}"
    )


def check_same(stage_runs: list[StageRun], stages: list[dict[str, Any]], remedy: str) -> None:
    """Check that everything the stages depend on is unchanged since the run began.

    Raises:
        DataError, WeightsError, ConfigError: something has changed; says what.
    """
    if len(stage_runs) != len(stages):
        raise ConfigError("this version of kdrun plans other stages for the run's config")
    for stage_run, stage in zip(stage_runs, stages, strict=True):
        if stage_run.digest != stage["hash"]:
            raise changed(
                stage_run, list(differences(stage["identity"], stage_run.identity)), remedy
            )


def changed(stage_run: StageRun, names: list[str], remedy: str) -> KdrunError:
    """Return the error for a stage with a changed identity."""
    since = f"changed since the run began, and {stage_run.title} would differ"
    if "data" in names:
        return DataError(f"dataset: its images or labels {since}; {remedy}")
    if any(name.startswith("model.weights") for name in names):
        return WeightsError(f"{stage_run.stage.model.weights}: the weights {since}; {remedy}")
    if "format" in names:
        return ConfigError(f"kdrun's training code {since}; {remedy}")
    return ConfigError(f"{', '.join(names) or 'plan.json'} {since}; {remedy}")


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the values that differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from differences(old.get(name), new.get(name), f"{prefix}{name}.")
    elif old != new:
        yield prefix.rstrip(".")


def as_recorded(stages: list[Any], recorded: list[dict[str, Any]]) -> list[Any]:
    """Return the plan's stages with the recorded epochs, origins and chosen T."""
    if len(stages) != len(recorded):
        return stages
    return [
        replace(
            stage.at(entry["T"]) if stage.undecided and entry["T"] != "auto" else stage,
            train=replace(stage.train, epochs=entry["epochs"] or stage.train.epochs),
            origin=tuple(entry["identity"].get("origin") or ()) or None,
        )
        for stage, entry in zip(stages, recorded, strict=True)
    ]
