"""kdrun's own loop as a contender: the real `train_epoch` between the real updates' work."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kdrun.data.batch_views import Views
from kdrun.store.stages import CHECKPOINTS
from kdrun.teachers.teacher import Teacher
from kdrun.training.batches import training_batches, view_of
from kdrun.training.checkpoint_writer import CheckpointWriter
from kdrun.training.interleaving import run_to_end
from kdrun.training.loop import train_epoch
from kdrun.training.setup import make_loop_settings, make_objective, make_train_state
from kdrun.training.trainer import StageTrainer
from tests.benchmarks.pairs import Parts
from tests.benchmarks.rounds import Contender, Mark


class KdrunLoop:
    """A student's stage that can be trained for a few steps at a time, epoch after epoch.

    Args:
        parts: of the stage.
        opened: closed when the loop is no longer needed.
        teacher: one that several loops share; by default its own.
    """

    def __init__(self, parts: Parts, opened: ExitStack, teacher: Teacher | None = None) -> None:
        self.parts = parts
        stage, context = parts.stage_run.stage, parts.context
        teachers = [teacher or parts.teacher()]
        network = parts.network(parts.stage_run)
        self.objective, wanted = make_objective(stage, network, teachers, parts.normalizer, context)
        self.training = make_train_state(stage, network, self.objective, context)
        self.settings = make_loop_settings(
            stage, context, parts.normalizer, teachers, self.training, wanted
        )
        images, epochs = len(context.data.train), stage.train.epochs
        writer = CheckpointWriter(
            parts.stage_run.folder / CHECKPOINTS, parts.stage_run.digest, stage.train.keep_last
        )
        self.progress = opened.enter_context(
            context.reporter.stage(parts.stage_run.title, epochs, images, 0)
        )
        self.progress.bar.stop()
        self.trainer = StageTrainer(
            *(parts.stage_run, context, self.settings, self.training, lambda line: None),
            *(opened.enter_context(writer), self.progress),
        )
        self._opened = opened
        self.begin_epoch()

    def fill_cache(self) -> None:
        """Store the teacher's outputs for all images, and read them from now on."""
        batches = training_batches(self.parts.stage_run.stage, self.parts.context, 0, 0)
        with self.settings.teachers.view(0):
            for batch in batches:
                self.settings.teachers(Views(batch, None))
        self._opened.enter_context(self.settings.teachers.view(0))

    def run(self, steps: int, mark: Mark) -> None:
        """Train so many steps."""

        def report(images: int, means: dict[str, float] | None) -> bool:
            going_on = self.trainer.after_update(images, means)
            mark()
            return going_on

        while steps > 0:
            count = min(steps, self.left)
            run_to_end(train_epoch(self.training, self.settings, self.batches, count, report))
            steps -= count
            self.left -= count
            if self.left == 0:
                self.training.next_epoch()
                self.begin_epoch()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Draw the bar, in a thread of its own, only while this contender is at work."""
        with self.progress.bar:
            yield

    def begin_epoch(self) -> None:
        """Start a pass over the images, whatever is left of the last one."""
        stage, context, epoch = self.parts.stage_run.stage, self.parts.context, self.training.epoch
        assert view_of(stage, epoch) == 0
        self.training.totals.clear()
        # From the second batch on: the first's gradient shares are a cost of the epoch, measured
        # apart, which in epochs as short as these would weigh too much.
        self.training.batch = 1
        self.batches = training_batches(stage, context, epoch, 1)
        self.left = context.data.train.num_batches(stage.train.batch_size) - 1


def kdrun_contender(name: str, loop: KdrunLoop) -> Contender:
    """The loop under a name."""
    return Contender(name, loop.parts.context.precision, loop.run, loop.turn)
