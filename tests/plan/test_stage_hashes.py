import json

import pytest

from kdrun.config.compose import register
from kdrun.plan.identity import FORMAT
from tests.plan.stage_hashes import FILE, cases, hashes

RECORDED = json.loads(FILE.read_text())


def test_the_recorded_hashes_are_of_this_format_and_of_every_preset():
    assert RECORDED["format"] == FORMAT
    assert list(RECORDED["stages"]) == [" ".join(case) for case in cases()]


@pytest.mark.parametrize("case", RECORDED["stages"])
def test_a_stage_keeps_its_hash_within_a_format(case):
    register()
    assert hashes(case.split()) == RECORDED["stages"][case]
