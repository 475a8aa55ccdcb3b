"""Training batches of an epoch: order and view of the images."""

from collections.abc import Iterator
from functools import partial

from kdrun.data.batch import Batch
from kdrun.plan.stage import Stage
from kdrun.training.context import RunContext


def view_of(stage: Stage, epoch: int) -> int:
    """Return the number of the view that the epoch trains on."""
    return epoch % stage.cache.views if stage.cache.views else epoch


def mixes(stage: Stage) -> bool:
    """Whether mixup or cutmix is on."""
    return stage.train.mixup > 0 or stage.train.cutmix > 0


def training_batches(stage: Stage, context: RunContext, epoch: int, start: int) -> Iterator[Batch]:
    """Yield the epoch's batches from number `start` on.

    The order of the images depends on the epoch; with mixing on the view, because the pairs that
    are mixed are part of the view.
    """
    options, view = stage.train, view_of(stage, epoch)
    make = partial(
        context.data.train.train_batches,
        options.batch_size,
        seed=options.seed,
        view=view,
        order=view if mixes(stage) else epoch,
        augment=context.augment,
        start=start,
    )
    return context.inputs.batches((epoch, start), make)
