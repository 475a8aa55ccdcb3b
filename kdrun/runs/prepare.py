"""Preparation of a run: data, device, stages and weights, checked before any folder is made."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kdrun.catalog.datasets import ImageShape, dataset_options
from kdrun.config.loss_mixture import looks_inside
from kdrun.config.schema import Config
from kdrun.data.dataset import ImageData
from kdrun.data.load import load_dataset
from kdrun.data.splitting import SplitOptions
from kdrun.device import resolve_device, resolve_precision, set_determinism, use_device
from kdrun.errors import ConfigError, WeightsError
from kdrun.features.extractor import FeatureExtractor
from kdrun.features.inspection import inspect_model
from kdrun.loggers.console import Reporter
from kdrun.loggers.tables import console
from kdrun.losses.term import Outputs, StepContext
from kdrun.models.heads import head_of
from kdrun.plan.build import with_seed
from kdrun.plan.identity import identity
from kdrun.plan.stage import TEACHER, Stage
from kdrun.runs.cpu_load import allowed_cores
from kdrun.signals import Stop, StopRequest
from kdrun.store.run_folder import from_here
from kdrun.store.stages import stage_folder, stage_hash
from kdrun.training.build_objective import ObjectiveModels, build_objective
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.initial_weights import WeightsSource, check_card, resolve_weights
from kdrun.training.stage_model import (
    build,
    build_and_say,
    count_sizes,
    normalization,
    without_weights,
)


def make_context(config: Config, stop: StopRequest, *, identified: bool = True) -> RunContext:
    """Return data, device and precision of the run; set the number of threads.

    Args:
        identified: whether image files are hashed, as needed for storing results.
    """
    use_threads(config.train.threads)
    device = resolve_device(config.train.device)
    use_device(device)
    precision = resolve_precision(config.train.precision, device)
    set_determinism(config.train.deterministic)
    reporter = Reporter(console())
    data = load_data(config, device, stop, reporter.say, identified=identified)
    root = Path(config.output_root)
    return RunContext(data, config.dataset.augment, device, precision, reporter, stop, root)


def use_threads(threads: int | None) -> None:
    """Set the number of CPU threads; None: torch's default.

    Raises:
        ConfigError: more threads than cores.
    """
    if threads is None:
        return
    cores = os.cpu_count() or threads
    if threads > cores:
        raise ConfigError(f"train.threads={threads}: this machine has {cores} cores")
    torch.set_num_threads(threads)


def make_contexts(config: Config, stop: StopRequest) -> ContextBySeed:
    """Return the context of every seed, with the splits of a run with that seed alone."""
    if not config.seeds:
        return {None: make_context(config, stop)}
    first = make_context(with_seed(config, config.seeds[0]), stop)
    contexts: dict[int | None, RunContext] = {config.seeds[0]: first}
    for seed in config.seeds[1:]:
        one = with_seed(config, seed)
        data = load_data(one, first.device, stop, first.reporter.say)
        contexts[seed] = replace(first, data=data)
    return contexts


def load_data(
    config: Config,
    device: torch.device,
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
    *,
    identified: bool = True,
) -> ImageData:
    """Return the config's data set, on the device if it fits in memory.

    Args:
        stop: stop request, checked while image files are hashed.
        say: prints progress of the hashing.
        identified: whether image files are hashed.
    """
    options = config.dataset
    return load_dataset(
        dataset_options(options),
        SplitOptions(
            limit=options.limit,
            val_fraction=options.val_fraction,
            label_noise=options.label_noise,
            seed=config.train.seed,
        ),
        device=device,
        workers=default_workers() if config.train.workers is None else config.train.workers,
        identified=identified,
        stop=stop,
        say=say,
    )


def default_workers() -> int:
    """Return the number of decoding processes: one per usable core, at most 8."""
    return min(8, len(allowed_cores()) or os.cpu_count() or 1)


def opening_line(context: RunContext, folder: Path) -> str:
    """Return `digits: 1212 training, ... test images of 10 classes, 8x8, cpu, bf16 -> outputs`."""
    data = context.data
    counts = f"{len(data.train)} training"
    counts += f", {len(data.validation)} validation" if data.validation is not None else ""
    size = f"{data.image_size}x{data.image_size}"
    images = f"{counts}, {len(data.test)} test images of {len(data.class_names)} classes, {size}"
    return f"{data.name}: {images}, {context.device}, {context.precision} -> {from_here(folder)}"


def make_stage_runs(stages: Sequence[Stage], contexts: ContextBySeed) -> list[StageRun]:
    """Return every stage of the plan with hash and sizes, and check its weights.

    Raises:
        ConfigError: a model cannot be built for these images.
        WeightsError: given weights are missing, damaged or do not fit.
    """
    stage_runs: list[StageRun] = []
    for stage in stages:
        stage_runs.append(make_stage_run(stage, stage_runs, contexts[stage.seed]))
    return stage_runs


def make_stage_run(stage: Stage, earlier: Sequence[StageRun], context: RunContext) -> StageRun:
    """Return one stage; the numbers of its teachers index `earlier`."""
    source = checked_weights(stage, context.data)
    given = normalization(context.data, source, stage.model.normalization)
    parameters, macs = count_sizes(stage, context.data.shape)
    content = identity(
        stage,
        data=context.data.fingerprint,
        augment=context.augment,
        precision=context.precision,
        weights=None if source is None else weights_identity(source, given),
        teachers=[earlier[i].digest for i in stage.teachers],
    )
    digest = stage_hash(content)
    if looks_inside(stage.loss):
        check_layers(stage, earlier[stage.teachers[0]].stage, context.data.shape)
    folder = stage_folder(context.output_root, digest)
    return StageRun(stage, digest, folder, source, parameters, macs, content)


def weights_identity(source: WeightsSource, normalized: dict[str, list[float]]) -> dict[str, Any]:
    """Return what determines the given weights, for the identity of their stage."""
    key = {} if source.key is None else {"key": source.key}
    return {"identity": source.identity, "normalization": normalized} | key


def check_layers(stage: Stage, teacher: Stage, shape: ImageShape) -> None:
    """Check that the terms' layers can be used, on untrained models and four images.

    Raises:
        ConfigError: a layer cannot be used, or two cannot be compared; names them.
    """
    example = torch.zeros(4, shape.channels, shape.image_size, shape.image_size)
    models = [build(without_weights(s), shape, None).eval() for s in (stage, teacher)]
    seen = [
        inspect_model(s.model.arch, model, example)
        for s, model in zip((stage, teacher), models, strict=True)
    ]
    known = ObjectiveModels(shape.num_classes, num_images=4, student=seen[0], teacher=seen[1])
    known = replace(known, teacher_head=partial(head_of, models[1]))
    objective, wanted = build_objective(stage.loss, known)
    student = FeatureExtractor(models[0], None, wanted.student_hidden, wanted.student_attention)
    teacher_model = FeatureExtractor(
        models[1], None, wanted.teacher_hidden, wanted.teacher_attention
    )
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # four equal images have no relations
            outputs = (Outputs(*model(example)) for model in (student, teacher_model))
            labels, places = torch.zeros(4, dtype=torch.long), torch.arange(4)
            objective(*outputs, labels, StepContext(stage.loss.T, indices=places))
    except ValueError as error:
        pair = f"{stage.model.arch} and {teacher.model.arch}"
        raise ConfigError(f"loss: these layers of {pair} cannot be compared: {error}") from error


def checked_weights(stage: Stage, data: ImageData) -> WeightsSource | None:
    """Return the source of the stage's given weights, after loading them once as a check.

    Raises:
        WeightsError: the weights are missing, damaged, or do not fit.
    """
    model = stage.model
    if model.weights is None:
        return None
    source = resolve_weights(
        model.weights, arch=model.arch, library=model.library, key=model.weights_key
    )
    check_card(source, arch=model.arch, class_names=data.class_names, new_head=not stage.pretrained)
    if stage.role == TEACHER and source.classes not in (None, len(data.class_names)):
        raise WeightsError(
            f"teacher.weights={model.weights} has {source.classes} classes, the data set has "
            f"{len(data.class_names)}; train a teacher from them first: student={model.arch} "
            f"student.weights={model.weights} loss=none, then teacher.weights=RUN_FOLDER"
        )
    _, line = build_and_say(stage, data.shape, source)
    lines = source.notes if line is None else (line, *source.notes)
    return replace(source, notes=tuple(f"{stage.title}: {one}" for one in lines))
