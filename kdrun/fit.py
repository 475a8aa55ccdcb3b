"""Training a stage epoch by epoch: validate, keep the best weights, checkpoint, stop if asked."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn

from kdrun import checkpoint
from kdrun.data.views import Normalizer
from kdrun.engine import Recipe, Training, Views, checked, evaluate, train_epoch
from kdrun.errors import Stopped
from kdrun.files import append_json_line, json_number, write_json_lines
from kdrun.job import Job, Setting, predictor
from kdrun.objective import Outputs
from kdrun.objective.logit_terms import LearnedTemperatureTerm
from kdrun.plan import Stage
from kdrun.progress import StageProgress
from kdrun.recipe import make_objective, make_recipe, make_training
from kdrun.teacher import Teacher
from kdrun.totals import CORRECT, TOTAL

Record = Callable[[dict[str, Any]], None]


def fit(
    job: Job,
    setting: Setting,
    network: nn.Module,
    normalizer: Normalizer,
    teachers: list[Teacher],
    record: Record,
) -> Training:
    """Train the network from the last checkpoint, if there is one, to the last epoch.

    Leaves `best.safetensors`, `metrics.jsonl` and the newest checkpoints in the job's folder.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        NumericError: a loss is not finite.
    """
    options, split = job.stage.train, setting.data.train
    objective, wanted = make_objective(job.stage, network, teachers, normalizer, setting)
    training = make_training(job.stage, network, objective, setting)
    resume(job, setting, training)
    for line in training.history:
        record(line)
    write_json_lines(job.folder / "metrics.jsonl", training.history)
    recipe = make_recipe(job.stage, setting, normalizer, teachers, training, wanted)
    done = training.epoch * len(split) + training.batch * options.batch_size
    with setting.reporter.stage(job.title, options.epochs, len(split), done) as progress:
        saved = time.monotonic()
        while training.epoch < options.epochs:
            line = fit_epoch(job, setting, training, recipe, progress)
            append_json_line(job.folder / "metrics.jsonl", line)
            record(line)
            progress.epoch_done(line)
            due = time.monotonic() - saved >= 60 * options.checkpoint_minutes
            if due or setting.stop:
                save(job, training)
                saved = time.monotonic()
            if setting.stop and training.epoch < options.epochs:
                raise Stopped(f"after epoch {training.epoch} of {job.title}")
    return training


def fit_epoch(
    job: Job, setting: Setting, training: Training, recipe: Recipe, progress: StageProgress
) -> dict[str, Any]:
    """Train one epoch, validate, keep the weights if they are the best; returns its metrics."""
    options, split = job.stage.train, setting.data.train
    began = time.monotonic()
    seen = 0

    def report(images: int, means: dict[str, float] | None) -> bool:
        nonlocal seen
        seen += images
        progress.advance(images, means)
        return not setting.stop

    if training.batch == 0 and training.objective.fitted is not None:
        fit_projections(setting, training, recipe)
    batches = split.train_batches(
        options.batch_size,
        seed=options.seed,
        view=training.epoch,
        augment=setting.augment,
        start=training.batch,
    )
    remaining = split.num_batches(options.batch_size) - training.batch
    complete = train_epoch(training, recipe, batches, remaining, report)
    means = checked(training, training.totals.sums.tolist())
    if not complete:
        save(job, training)
        raise Stopped(f"in epoch {training.epoch + 1} of {job.title}")
    seconds = time.monotonic() - began
    rate = seen / max(seconds, 1e-9)
    line = epoch_line(job.stage, training, recipe, means)
    line |= {"images_per_second": round(rate, 1), "seconds": round(seconds, 3)}
    line |= validate(job, setting, training, recipe.normalizer)
    line["memory_mb"] = peak_memory(setting.device)
    training.history.append(line)
    training.totals.sums.zero_()
    training.epoch, training.batch = training.epoch + 1, 0
    return line


def temperature_of(training: Training, recipe: Recipe) -> float | str:
    """T of the epoch; of a trained T its value at the end."""
    for term in training.objective.terms.values():
        if isinstance(term, LearnedTemperatureTerm):
            return float(term.temperature())
    return json_number(recipe.temperature(training.epoch))


FIT_BATCH, FIT_BATCHES = 128, 16


def fit_projections(setting: Setting, training: Training, recipe: Recipe) -> None:
    """Fit the closed-form projections to the epoch's first images, in eval mode."""
    teacher = recipe.teacher
    assert teacher is not None

    def outputs() -> Iterator[tuple[Outputs, Outputs]]:
        for batch in islice(setting.data.train.batches(FIT_BATCH), FIT_BATCHES):
            views = Views(batch, None)
            with torch.no_grad(), setting.autocast():
                student = recipe.student(views.images(recipe.normalizer))
            yield student, teacher(views)

    training.student.eval()
    training.unexplained = training.objective.fit(outputs())


def epoch_line(
    stage: Stage, training: Training, recipe: Recipe, means: dict[str, float]
) -> dict[str, Any]:
    """What training itself tells of an epoch: temperature, rate, loss, terms raw and weighted."""
    weights = training.objective.weights
    return {
        "epoch": training.epoch + 1,
        "update": training.update,
        "T": temperature_of(training, recipe),
        "lr": recipe.learning_rate(training.update - 1),
        "loss": means[TOTAL],
        "terms": {
            name: {
                "raw": means[name],
                "weighted": weight * means[name],
                "weight": weight,
                "gradient_share": training.shares.get(name, 1.0),
            }
            for name, weight in weights.items()
        },
        "unexplained": training.unexplained,
        "train_accuracy": means[CORRECT],
    }


def validate(
    job: Job, setting: Setting, training: Training, normalizer: Normalizer
) -> dict[str, float | None]:
    """Evaluate on the validation split and keep the weights if they are the best so far.

    Without a validation split nothing can be chosen, and the newest weights are kept.
    """
    split, model = setting.data.validation, training.evaluated
    epoch = training.epoch + 1
    accuracy = loss = None
    if split is not None:
        batches = split.batches(job.stage.train.eval_batch_size)
        result = evaluate(predictor(model, normalizer, setting), batches, setting.device)
        accuracy, loss = result.accuracy, result.loss
    if better(training.best, accuracy, loss):
        checkpoint.save_weights(job.folder / "best.safetensors", model)
        training.best = {"epoch": epoch, "validation": accuracy, "validation_loss": loss}
    return {"validation_accuracy": accuracy, "validation_loss": loss}


def better(best: dict[str, Any] | None, accuracy: float | None, loss: float | None) -> bool:
    """Whether an epoch beats the best so far: by accuracy, and by loss where that is equal."""
    if best is None or accuracy is None or loss is None:
        return True
    # On a small validation split many epochs tie, and the first of them is rarely the best.
    return (accuracy, -loss) > (best["validation"], -best["validation_loss"])


def peak_memory(device: torch.device) -> float | None:
    """Peak megabytes of the device's memory; None where torch does not count them."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)


def resume(job: Job, setting: Setting, training: Training) -> None:
    """Go on from the newest checkpoint of this stage that verifies."""
    state, broken = checkpoint.load_newest(job.folder / "checkpoints", job.digest)
    for path in broken:
        setting.reporter.say(f"{path} is damaged and was passed over", style="yellow")
    if state is not None:
        checkpoint.restore(training, state)
        setting.reporter.say(f"{job.title}: going on from epoch {training.epoch + 1}")


def save(job: Job, training: Training) -> None:
    """Write a checkpoint of the stage."""
    keep = job.stage.train.keep_last
    checkpoint.save_checkpoint(job.folder / "checkpoints", training, job.digest, keep)
