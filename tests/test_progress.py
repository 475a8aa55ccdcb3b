"""What a person is told while a run works."""

import logging
from io import StringIO

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
