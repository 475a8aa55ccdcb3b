"""Hashes of the stages that every preset, every recipe and some settings plan.

    python -m tests.plan.stage_hashes

writes `stage_hashes.json`. A change of these hashes leaves every stored stage of users behind:
it belongs to a raised `FORMAT`, and only then is the file written again.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from kdrun.config.compose import register
from kdrun.config.parse import parse
from kdrun.config.paths import config_folder
from kdrun.plan import ChainSizes, build_plan, identity
from kdrun.plan.identity import FORMAT
from kdrun.store.stages import stage_hash

FILE = Path(__file__).with_suffix(".json")
GROUPS = ("dataset", "loss", "temperature", "chain", "train", "recipe")
NEEDED = {"chain=assistants": "chain.assistants=[resnet8]"}  # a preset alone is no valid config
SIZES = ChainSizes(
    teacher=1_730_000,
    student=80_000,
    candidates={"resnet56": 860_000, "resnet32": 470_000, "resnet20": 270_000},
)
SETTINGS = """
loss.T=1
loss.T=inf
loss.alpha=0.5
loss.standardize=true
loss=[kd] loss.soft=hard
loss=[kd,dkd]
loss=[kd,dkd] loss.dkd.T=2 loss.kl.standardize=true
loss.soft=dkd
loss=[kd,hint]
loss=[kd,hint] loss.hint.projection=closed_form
loss=[kd,attention,rkd]
loss=[nkd] loss.nkd.gamma=2
loss=[dkd] loss.dkd.beta=2 loss.T=2
loss=[dist] loss.dist.gamma=3
temperature=learned loss.T=4
temperature=auto temperature.method=search
train.mixup=0.2
train.cutmix=1.0
train.ema=0.9
train.grad_clip=1
train.channels_last=false
seeds=[0,1,2]
cache.mode=on
cache.mode=off
cache.mode=on cache.topk=5
cache.views=3
chain.control=false
chain=assistants chain.assistants=[resnet8] teacher=resnet32 student=mlp chain.stage.1.loss.T=2
chain=auto teacher=resnet110 student=resnet8
chain=born_again chain.generations=4 chain.ensemble_control=true student=resnet8
teacher.ensemble=[resnet14,resnet8] teacher.ensemble_weights=[0.5,0.3,0.2]
teacher.weights=file.pt
"""


def cases() -> Iterator[list[str]]:
    """The overrides of every case."""
    for group in GROUPS:
        folder = config_folder() / group
        for path in sorted(folder.rglob("*.yaml")):
            name = str(path.relative_to(folder).with_suffix(""))
            preset = f"{group}=[{name}]" if group == "loss" else f"{group}={name}"
            yield [preset, *filter(None, [NEEDED.get(preset)])]
    for line in SETTINGS.strip().splitlines():
        yield line.split()


def hashes(overrides: list[str]) -> list[str]:
    """The hash of every stage of the plan, on data of no particular content."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = parse(compose("config", overrides))
    found: list[str] = []
    for stage in build_plan(config, SIZES):
        given: dict[str, Any] | None = None
        if stage.model.weights is not None:
            given = {"identity": stage.model.weights, "normalization": None}
        content = identity(
            stage,
            data="data",
            augment=config.dataset.augment,
            precision="fp32",
            weights=given,
            teachers=[found[place] for place in stage.teachers],
        )
        found.append(stage_hash(content))
    return found


def record() -> None:
    """Write the hashes of this version."""
    register()
    stages = {" ".join(case): hashes(case) for case in cases()}
    FILE.write_text(json.dumps({"format": FORMAT, "stages": stages}, indent=1) + "\n")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    record()
