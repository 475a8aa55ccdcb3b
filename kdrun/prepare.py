"""Config -> data and jobs; what a user can get wrong is found here, before a folder is made."""

from pathlib import Path

import torch

from kdrun.config.schema import Config
from kdrun.data.image_data import ImageData
from kdrun.data.load import load_dataset
from kdrun.job import Job, Setting
from kdrun.objective.build import build_objective, see
from kdrun.plan import Stage, build_plan, identity
from kdrun.stage import bare, build, sizes
from kdrun.store import stage_folder, stage_hash
from kdrun.terms import looks_inside
from kdrun.weights_source import WeightsSource, check_card, resolve_weights


def load_data(config: Config, device: torch.device) -> ImageData:
    """The data set of the config, on the device where it fits in memory."""
    options = config.dataset
    return load_dataset(
        options.name,
        root=options.root,
        image_size=options.image_size,
        download=options.download,
        val_fraction=options.val_fraction,
        limit=options.limit,
        label_noise=options.label_noise,
        seed=config.train.seed,
        device=device,
        workers=config.train.workers,
        num_classes=options.num_classes,
        num_images=options.num_images,
        channels=options.channels,
    )


def data_line(data: ImageData) -> str:
    """`digits: 1212 training, 135 validation, 450 test images of 10 classes, 8x8`."""
    counts = f"{len(data.train)} training"
    counts += f", {len(data.validation)} validation" if data.validation is not None else ""
    size = f"{data.image_size}x{data.image_size}"
    classes = len(data.class_names)
    return f"{data.name}: {counts}, {len(data.test)} test images of {classes} classes, {size}"


def make_jobs(config: Config, setting: Setting) -> list[Job]:
    """Every stage of the plan with its hash, its sizes and its weights checked.

    Raises:
        ConfigError: a model cannot be built for these images.
        WeightsError: given weights are missing, damaged or do not fit.
    """
    jobs: list[Job] = []
    for stage in build_plan(config):
        source = checked_weights(stage, setting.data)
        parameters, macs = sizes(stage, setting.data.shape)
        content = identity(
            stage,
            data=setting.data.fingerprint,
            augment=setting.augment,
            precision=setting.precision,
            weights=None if source is None else source.identity,
            teachers=[jobs[i].digest for i in stage.teachers],
        )
        digest = stage_hash(content)
        folder = stage_folder(Path(config.output_root), digest)
        if looks_inside(stage.loss):
            check_layers(stage, jobs[stage.teachers[0]].stage, setting)
        jobs.append(Job(stage, digest, folder, source, parameters, macs, content))
    return jobs


def check_layers(stage: Stage, teacher: Stage, setting: Setting) -> None:
    """See that every layer that a term names can be used.

    Raises:
        ConfigError: one cannot; names it.
    """
    shape = setting.data.shape
    example = torch.zeros(2, shape.channels, shape.image_size, shape.image_size)
    student_seen, teacher_seen = (
        see(s.model.arch, build(bare(s), shape, None), example) for s in (stage, teacher)
    )
    build_objective(stage.loss, student_seen, teacher_seen)


def checked_weights(stage: Stage, data: ImageData) -> WeightsSource | None:
    """Where the stage's given weights come from; they are loaded once to see that they fit."""
    if stage.model.weights is None:
        return None
    source = resolve_weights(stage.model.weights)
    check_card(source, arch=stage.model.arch, class_names=data.class_names)
    build(stage, data.shape, source)
    return source
