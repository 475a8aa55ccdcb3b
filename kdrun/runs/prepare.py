"""Preparation of a run: data, device, stages and weights, checked before a folder is made."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from kdrun.catalog.datasets import ImageShape
from kdrun.config.loss_mixture import looks_inside
from kdrun.config.schema import Config
from kdrun.data.dataset import ImageData
from kdrun.data.load import load_dataset
from kdrun.device import resolve_device, resolve_precision, set_determinism, use_device
from kdrun.errors import ConfigError, WeightsError
from kdrun.features.extractor import Observed
from kdrun.features.inspection import see
from kdrun.loggers.console import Reporter
from kdrun.loggers.tables import console
from kdrun.losses.term import Moment, Outputs
from kdrun.plan.build import with_seed
from kdrun.plan.identity import identity
from kdrun.plan.stage import TEACHER, Stage
from kdrun.runs.cpu_load import allowed_cores
from kdrun.signals import Stop, StopRequest
from kdrun.store.run_folder import from_here
from kdrun.store.stages import stage_folder, stage_hash
from kdrun.training.build_objective import build_objective
from kdrun.training.context import Job, Setting, Settings
from kdrun.training.initial_weights import WeightsSource, check_card, resolve_weights
from kdrun.training.stage_model import bare, build, normalization, sizes


def make_setting(config: Config, stop: StopRequest, *, identified: bool = True) -> Setting:
    """Data, device and precision of the run; the threads are the process's.

    Args:
        identified: whether image files are hashed; what is stored needs it.
    """
    use_threads(config.train.threads)
    device = resolve_device(config.train.device)
    use_device(device)
    precision = resolve_precision(config.train.precision, device)
    set_determinism(config.train.deterministic)
    reporter = Reporter(console())
    data = load_data(config, device, stop, reporter.say, identified=identified)
    root = Path(config.output_root)
    return Setting(data, config.dataset.augment, device, precision, reporter, stop, root)


def use_threads(threads: int | None) -> None:
    """Compute with so many threads of the CPU; None: as many as torch takes by itself.

    Raises:
        ConfigError: they are more than there are cores.
    """
    if threads is None:
        return
    cores = os.cpu_count() or threads
    if threads > cores:
        raise ConfigError(f"train.threads={threads}: this machine has {cores} cores")
    torch.set_num_threads(threads)


def make_settings(config: Config, stop: StopRequest) -> Settings:
    """The setting of every seed: each has the splits that a run of it alone would have."""
    if not config.seeds:
        return {None: make_setting(config, stop)}
    first = make_setting(with_seed(config, config.seeds[0]), stop)
    settings: dict[int | None, Setting] = {config.seeds[0]: first}
    for seed in config.seeds[1:]:
        one = with_seed(config, seed)
        data = load_data(one, first.device, stop, first.reporter.say)
        settings[seed] = replace(first, data=data)
    return settings


def load_data(
    config: Config,
    device: torch.device,
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
    *,
    identified: bool = True,
) -> ImageData:
    """The data set of the config, on the device where it fits in memory.

    Args:
        stop: asked while image files are hashed.
        say: takes lines of progress meanwhile.
        identified: whether they are.
    """
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
        workers=default_workers() if config.train.workers is None else config.train.workers,
        num_classes=options.num_classes,
        num_images=options.num_images,
        channels=options.channels,
        value_range=None if options.range is None else (options.range[0], options.range[1]),
        identified=identified,
        stop=stop,
        say=say,
    )


def default_workers() -> int:
    """Processes that decode images: one for each core that this process may use, 8 at most."""
    return min(8, len(allowed_cores()) or os.cpu_count() or 1)


def opening_line(setting: Setting, folder: Path) -> str:
    """`digits: 1212 training, ... test images of 10 classes, 8x8, cpu, bf16 -> outputs/...`."""
    data = setting.data
    counts = f"{len(data.train)} training"
    counts += f", {len(data.validation)} validation" if data.validation is not None else ""
    size = f"{data.image_size}x{data.image_size}"
    images = f"{counts}, {len(data.test)} test images of {len(data.class_names)} classes, {size}"
    return f"{data.name}: {images}, {setting.device}, {setting.precision} -> {from_here(folder)}"


def make_jobs(stages: Sequence[Stage], settings: Settings) -> list[Job]:
    """Every stage of the plan with its hash, its sizes and its weights checked.

    Raises:
        ConfigError: a model cannot be built for these images.
        WeightsError: given weights are missing, damaged or do not fit.
    """
    jobs: list[Job] = []
    for stage in stages:
        jobs.append(make_job(stage, jobs, settings[stage.seed]))
    return jobs


def make_job(stage: Stage, earlier: Sequence[Job], setting: Setting) -> Job:
    """One stage; `earlier` are the jobs to which the numbers of its teachers refer."""
    source = checked_weights(stage, setting.data)
    given = normalization(setting.data, source, stage.model.normalization)
    parameters, macs = sizes(stage, setting.data.shape)
    content = identity(
        stage,
        data=setting.data.fingerprint,
        augment=setting.augment,
        precision=setting.precision,
        weights=None if source is None else {"identity": source.identity, "normalization": given},
        teachers=[earlier[i].digest for i in stage.teachers],
    )
    digest = stage_hash(content)
    if looks_inside(stage.loss):
        check_layers(stage, earlier[stage.teachers[0]].stage, setting.data.shape)
    folder = stage_folder(setting.output_root, digest)
    return Job(stage, digest, folder, source, parameters, macs, content)


def check_layers(stage: Stage, teacher: Stage, shape: ImageShape) -> None:
    """See that every layer that a term names can be used, on untrained models and four images.

    Raises:
        ConfigError: one cannot, or two cannot be compared; names them.
    """
    example = torch.zeros(4, shape.channels, shape.image_size, shape.image_size)
    models = [build(bare(s), shape, None).eval() for s in (stage, teacher)]
    seen = [
        see(s.model.arch, model, example) for s, model in zip((stage, teacher), models, strict=True)
    ]
    objective, wanted = build_objective(stage.loss, *seen)
    student = Observed(models[0], None, wanted.student_hidden, wanted.student_attention)
    teacher_model = Observed(models[1], None, wanted.teacher_hidden, wanted.teacher_attention)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # four equal images have no relations
            outputs = (Outputs(*model(example)) for model in (student, teacher_model))
            objective(*outputs, torch.zeros(4, dtype=torch.long), Moment(stage.loss.T))
    except ValueError as error:
        pair = f"{stage.model.arch} and {teacher.model.arch}"
        raise ConfigError(f"loss: these layers of {pair} cannot be compared: {error}") from error


def checked_weights(stage: Stage, data: ImageData) -> WeightsSource | None:
    """Where the stage's given weights come from; they are loaded once to see that they fit.

    Raises:
        WeightsError: they are missing, damaged, or made for something else.
    """
    model = stage.model
    if model.weights is None:
        return None
    source = resolve_weights(model.weights, arch=model.arch, library=model.library)
    check_card(source, arch=model.arch, class_names=data.class_names)
    if stage.role == TEACHER and source.classes not in (None, len(data.class_names)):
        raise WeightsError(
            f"teacher.weights={model.weights} know {source.classes} classes, the data set has "
            f"{len(data.class_names)}; train a teacher from them first: student={model.arch} "
            f"student.weights={model.weights} loss=none, then teacher.weights=RUN_FOLDER"
        )
    build(stage, data.shape, source)
    return source
