"""What a person is told while a run works."""

import logging
import warnings
from io import StringIO

import pytest
from rich.console import Console

from kdrun.progress import Reporter


def test_what_modules_log_is_said_and_kept_while_it_is_heard(tmp_path):
    out = StringIO()
    reporter = Reporter(Console(file=out, width=20), tmp_path / "run.log")
    logger = logging.getLogger("kdrun.models.weights")
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
