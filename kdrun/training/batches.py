"""The training batches of an epoch: their view of the images and their order."""

from collections.abc import Iterator
from functools import partial

from kdrun.data.batch import Batch
from kdrun.plan.stage import Stage
from kdrun.training.context import RunContext


def view_of(stage: Stage, epoch: int) -> int:
    """Which view of the images the epoch trains on."""
    return epoch % stage.cache.views if stage.cache.views else epoch


def mixes(stage: Stage) -> bool:
    """Whether images are mixed with others of their batch."""
    return stage.train.mixup > 0 or stage.train.cutmix > 0


def training_batches(stage: Stage, context: RunContext, epoch: int, start: int) -> Iterator[Batch]:
    """The epoch's batches from number `start` on.

    The order of the images is the epoch's own, but with mixing it is the view's: who is mixed with
    whom is part of the view.
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
