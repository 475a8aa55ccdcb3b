"""What a person is told while a run works."""

import logging
import warnings
from io import StringIO

import pytest
from rich.console import Console

from kdrun.errors import Stopped
from kdrun.loggers.console import Reporter


def test_what_modules_log_is_said_and_kept_while_it_is_heard(tmp_path):
    out = StringIO()
    reporter = Reporter(Console(file=out, width=20), tmp_path / "run.log")
    logger = logging.getLogger("kdrun.models.weights.state_dict")
    logger.info("before")
    with reporter.hearing():
        logger.info("downloading %s of [bold] size", "a long file")
        logger.debug("detail")
    logger.info("after")
    assert out.getvalue() == "downloading a long file of [bold] size\n"
    assert (tmp_path / "run.log").read_text().endswith("downloading a long file of [bold] size\n")


def test_warnings_are_said_and_kept_without_the_line_that_gave_them(tmp_path):
    out = StringIO()
    reporter = Reporter(Console(file=out, width=20), tmp_path / "run.log")
    with reporter.hearing():
        warnings.warn("the [last] batch has too few images", stacklevel=1)
    assert out.getvalue() == "the [last] batch has too few images\n"
    assert (tmp_path / "run.log").read_text().endswith("the [last] batch has too few images\n")
    with pytest.warns(UserWarning, match="heard no more"):
        warnings.warn("heard no more", stacklevel=1)


LINE = {
    "epoch": 2,
    "loss": 0.5,
    "train_accuracy": 0.9,
    "validation_accuracy": 0.8,
    "images_per_second": 1234.0,
}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_finished_stage_leaves_its_last_epoch(tmp_path, terminal):
    out = StringIO()
    reporter = Reporter(Console(file=out, width=80, force_terminal=terminal), tmp_path / "run.log")
    with reporter.stage("student mlp", epochs=2, images=10, done=10) as progress:
        progress.advance(10, None)
        progress.epoch_done(LINE)
    told = "epoch 2/2  loss 0.5000  train 90.00%  val 80.00%  1,234 images/s"
    assert out.getvalue().count(told) == 1
    assert (tmp_path / "run.log").read_text().count(told) == 1


def test_a_stage_that_is_stopped_leaves_no_last_epoch(tmp_path):
    out = StringIO()
    reporter = Reporter(Console(file=out, width=80, force_terminal=True), tmp_path / "run.log")

    def stopped():
        with reporter.stage("student mlp", epochs=2, images=10, done=0) as progress:
            progress.epoch_done(LINE)
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        stopped()
    assert "epoch 2/2" not in out.getvalue()
