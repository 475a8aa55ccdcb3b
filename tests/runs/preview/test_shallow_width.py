"""The width that theory asks of a shallow student."""

import pytest

from kdrun.catalog.datasets import ImageShape
from kdrun.plan.build import build_plan
from kdrun.runs.preview import shallow_width
from kdrun.runs.preview.shallow_width import mimicry_lines, rounded

SHAPE = ImageShape(10, 1, 8)

REAL = shallow_width.physical_memory


@pytest.fixture
def lines(make_config):
    return lambda *overrides: mimicry_lines(build_plan(make_config(*overrides)), SHAPE)


def test_a_mimic_is_told_the_width_to_the_power_of_the_depth(lines, monkeypatch):
    words = ("teacher=mlp", "teacher.width=20", "teacher.depth=3", "student=mlp", "loss=mimic")
    # 20^3 units, each with 64 weights of the image, a bias and 10 weights to the classes.
    needed = 4 * 8000 * 75
    for memory, fits in ((needed, "would fit"), (needed - 1, "would not fit")):
        monkeypatch.setattr(shallow_width, "physical_memory", lambda memory=memory: memory)
        (line,) = lines(*words, "seeds=[0,1]")
        assert "the 3 layers of mlp, of at least 20 units each" in line
        assert f"20^3 = 8000, whose weights of {needed} bytes {fits} in this machine's" in line
        assert line.startswith("student mlp has 256 hidden units;")
    monkeypatch.delattr(shallow_width.os, "sysconf")  # as on Windows
    monkeypatch.setattr(shallow_width, "physical_memory", REAL)
    assert lines(*words)[0].endswith(f"of {needed} bytes")


def test_other_students_and_losses_are_not(lines):
    assert lines("student=mlp", "loss=kd") == []
    assert lines("student=resnet8", "loss=mimic") == []


def test_numbers_beyond_floats_are_told_by_their_exponent():
    assert rounded(65536) == "65536"
    assert rounded(16**21) == "1.9e25"
    assert rounded(64**300) == "10^541"


def test_the_memory_is_that_of_a_machine():
    assert 2**28 < shallow_width.physical_memory() < 2**50
