"""kdrun's own loop as a contender: the real `train_epoch` between the real updates' work."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kdrun.data.batch_views import Views
from kdrun.store.stages import CHECKPOINTS
from kdrun.teachers.teacher import Teacher
from kdrun.training.batches import training_batches, view_of
from kdrun.training.checkpoint_writer import Saver, Timetable
from kdrun.training.interleaving import Stopwatch, drained
from kdrun.training.loop import train_epoch
from kdrun.training.setup import make_objective, make_recipe, make_training
from kdrun.training.trainer import after_update
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
        stage, setting = parts.job.stage, parts.setting
        teachers = [teacher or parts.teacher()]
        network = parts.network(parts.job)
        self.objective, wanted = make_objective(stage, network, teachers, parts.normalizer, setting)
        self.training = make_training(stage, network, self.objective, setting)
        self.recipe = make_recipe(stage, setting, parts.normalizer, teachers, self.training, wanted)
        images, epochs = len(setting.data.train), stage.train.epochs
        saver = Saver(parts.job.folder / CHECKPOINTS, parts.job.digest, stage.train.keep_last)
        self.saver = opened.enter_context(saver)
        self.progress = opened.enter_context(
            setting.reporter.stage(parts.job.title, epochs, images, 0)
        )
        self.progress.bar.stop()
        timetable = Timetable(stage.train.checkpoint_every, self.training)
        self.report = after_update(
            *(setting, self.training, self.recipe, self.progress, self.saver, timetable),
            Stopwatch(),
        )
        self._opened = opened
        self.begin_epoch()

    def fill_cache(self) -> None:
        """Store the teacher's outputs for all images, and read them from now on."""
        batches = training_batches(self.parts.job.stage, self.parts.setting, 0, 0)
        assert self.recipe.teacher is not None
        with self.recipe.view(0):
            for batch in batches:
                self.recipe.teacher(Views(batch, None))
        self._opened.enter_context(self.recipe.view(0))

    def run(self, steps: int, mark: Mark) -> None:
        """Train so many steps."""

        def report(images: int, means: dict[str, float] | None) -> bool:
            going_on = self.report(images, means)
            mark()
            return going_on

        while steps > 0:
            count = min(steps, self.left)
            drained(train_epoch(self.training, self.recipe, self.batches, count, report))
            steps -= count
            self.left -= count
            if self.left == 0:
                self.training.epoch += 1
                self.begin_epoch()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Draw the bar, in a thread of its own, only while this contender is at work."""
        with self.progress.bar:
            yield

    def begin_epoch(self) -> None:
        """Start a pass over the images, whatever is left of the last one."""
        stage, setting, epoch = self.parts.job.stage, self.parts.setting, self.training.epoch
        assert view_of(stage, epoch) == 0
        self.training.totals.sums.zero_()
        # From the second batch on: the first's gradient shares are a cost of the epoch, measured
        # apart, which in epochs as short as these would weigh too much.
        self.training.batch = 1
        self.batches = training_batches(stage, setting, epoch, 1)
        self.left = setting.data.train.num_batches(stage.train.batch_size) - 1


def kdrun_contender(name: str, loop: KdrunLoop) -> Contender:
    """The loop under a name."""
    return Contender(name, loop.parts.setting.precision, loop.run, loop.turn)
