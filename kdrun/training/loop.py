"""Training loop of an epoch; a step never waits for the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.mixing import Mixing
from kdrun.data.normalizer import Normalizer
from kdrun.device import autocast, seed_generators
from kdrun.errors import NumericError
from kdrun.losses.term import Outputs, StepContext
from kdrun.teachers.outputs import TeacherOutputs
from kdrun.training.interleaving import Interleavable
from kdrun.training.meters import NonBlockingReader
from kdrun.training.objective import gradient_shares
from kdrun.training.optimizer import clip_gradients, set_learning_rate
from kdrun.training.state import TrainState, UpdateSnapshot

FP16_SCALE = 1024.0
"""Factor of the terms' losses for comparing their gradients in fp16."""


@dataclass(frozen=True)
class LoopSettings:
    """Constant settings of an epoch.

    Attributes:
        accumulate: batches per update.
        grad_clip: largest gradient norm; None: no clipping.
        max_skipped: largest number of skipped non-finite updates in the stage; None: the first
            ends the training.
        learning_rate: update -> rate.
        temperature: epoch -> T.
        student: normalised images -> the student's outputs.
        mix: (epoch, batch) -> mixing of the batch; None: no mixing.
        views: makes a batch's views.
    """

    seed: int
    device: torch.device
    precision: str
    accumulate: int
    grad_clip: float | None
    max_skipped: int | None
    learning_rate: Callable[[int], float]
    temperature: Callable[[int], float]
    normalizer: Normalizer
    student: Callable[[Tensor], Outputs]
    teachers: TeacherOutputs
    mix: Callable[[int, int], Mixing] | None
    views: Callable[[Batch, Mixing | None], Views]


def train_epoch(
    training: TrainState,
    settings: LoopSettings,
    batches: Iterator[Batch],
    remaining: int,
    report: Callable[[int, dict[str, float] | None], bool],
) -> Interleavable[bool]:
    """Train over the epoch's remaining batches.

    Args:
        training: state, changed in place.
        settings: settings of the loop.
        batches: the epoch's batches from `training.batch` on.
        remaining: number of batches.
        report: called after each update with the images done and the newest means on the host;
            returns whether to continue.

    Returns:
        Generator with the result whether the epoch is complete; False after a stop by `report`.
    """
    training.student.train()
    reader = NonBlockingReader(settings.device)
    context = StepContext(settings.temperature(training.epoch), training.epoch)
    while remaining > 0:
        yield training.position
        group = list(islice(batches, min(settings.accumulate, remaining)))
        assert group, "the pass is shorter than announced"
        # Reseeded at every update, so that dropout is the same after a resume.
        seed_generators((settings.seed * 1_000_003 + training.update) % 2**63, settings.device)
        before = None if settings.max_skipped is None else UpdateSnapshot(training)
        images = backward(training, settings, group, context)
        remaining -= len(group)
        if before is not None and skipped(training, settings.max_skipped or 0, before):
            means = None
        else:
            # Before the update, so that on a CPU a non-finite value never reaches the weights.
            values = reader.poll(training.totals.sums)
            means = None if values is None else finite_means(training, values)
            apply_update(training, settings)
        training.update += 1
        if not report(images, means):
            return remaining == 0
    yield training.position
    return True


def backward(
    training: TrainState, settings: LoopSettings, group: Sequence[Batch], context: StepContext
) -> int:
    """Compute the gradient of the mean loss over the group's images; return their number."""
    images = sum(len(batch.labels) for batch in group)
    for batch in group:
        loss = forward(training, settings, batch, context)
        share = len(batch.labels) / images
        training.scaler.scale(loss if share == 1 else loss * share).backward()
        training.batch += 1
    # In fp16 the scaler itself skips updates that overflow.
    norm = None if training.scaler.is_enabled() else gradient_norm(training, settings)
    training.totals.close_update(norm, images)
    return images


def gradient_norm(training: TrainState, settings: LoopSettings) -> Tensor:
    """Return the gradient norm, and clip the gradients if the settings say so."""
    parameters = training.parameters()
    if settings.grad_clip is not None:
        return clip_gradients(parameters, settings.grad_clip)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def forward(
    training: TrainState, settings: LoopSettings, batch: Batch, context: StepContext
) -> Tensor:
    """Return the loss of one batch; add its terms to the meters."""
    mixing = settings.mix and settings.mix(training.epoch, training.batch)
    # The teacher sees the student's view: consistent teaching (Beyer et al., 2022).
    views = settings.views(batch, mixing)
    teacher = settings.teachers(views)
    with autocast(settings.device, settings.precision):
        student = settings.student(views.images(settings.normalizer))
    step = context._replace(indices=batch.indices)
    terms = training.objective(student, teacher, views.labels, step)
    if training.batch == 0 and len(terms) > 1:
        parameters = list(training.student.parameters())
        scale = FP16_SCALE if training.scaler.is_enabled() else 1.0
        training.shares = gradient_shares(training.objective, terms, parameters, scale)
    loss = training.objective.total(terms)
    answers = () if teacher is None else teacher.ensemble or (teacher.logits,)
    training.totals.add(loss, terms, student.logits, views.labels, answers)
    return loss


def apply_update(training: TrainState, settings: LoopSettings) -> None:
    """Apply one optimizer update with the current gradients."""
    set_learning_rate(training.optimizer, settings.learning_rate(training.update))
    if settings.grad_clip is not None and training.scaler.is_enabled():
        training.scaler.unscale_(training.optimizer)
        clip_gradients(training.parameters(), settings.grad_clip)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    if training.average is not None:
        training.average.update_parameters(training.student)


def skipped(training: TrainState, most: int, before: UpdateSnapshot) -> bool:
    """Skip the update if a value is not finite, and return whether; synchronises.

    Raises:
        NumericError: the stage has already skipped `most` updates.
    """
    try:
        finite_means(training, training.totals.sums.tolist())
    except NumericError as error:
        if training.skipped == most:
            raise NumericError(f"{error}, after {most} skipped updates") from error
        training.skipped += 1
        before.put_back(training)
        return True
    return False


def finite_means(training: TrainState, values: Sequence[float]) -> dict[str, float]:
    """Return the epoch's means so far.

    Raises:
        NumericError: a term is not finite; names epoch and update.
    """
    try:
        return training.totals.means(values)
    except NumericError as error:
        where = f"epoch {training.epoch + 1}, update {training.totals.good + 1} of the epoch"
        raise NumericError(f"{error} in {where}") from error
