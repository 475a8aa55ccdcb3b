"""The start-up benchmark runs; nothing here depends on how fast."""

import re

import pytest

from tests.benchmarks import startup


@pytest.mark.slow
def test_every_case_is_timed(capsys):
    startup.main(["--rounds", "1"])
    out = capsys.readouterr().out
    assert all(re.search(rf"{re.escape(name)} +│ +\d+\.\d\d", out) for name in startup.CASES)
