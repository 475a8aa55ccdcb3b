"""The speed benchmark runs and measures; nothing here depends on how fast."""

import json

import pytest

from tests.benchmarks import pairs, speed
from tests.benchmarks.pairs import Pair

TINY = Pair("resnet8", "resnet8", 8, 2, 4, 4, steps=1, batches=4)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    monkeypatch.setitem(pairs.PAIRS, "tiny", TINY)
    file = tmp_path / "speed.json"
    options = ["--pairs", "tiny", "--rounds", "2", "--threads", "1", "--device", "cpu"]
    speed.main([*options, "--precision", "fp32", "--json", str(file)])
    return json.loads(file.read_text())


def test_every_contender_is_timed_and_every_phase_found(measured):
    (pair,) = measured["pairs"]
    names = {row["name"] for row in pair["contenders"]}
    ours = {"kdrun live", "kdrun cached", "bare student", "bare teacher + student"}
    assert names - {"torchdistill"} == ours | {"plain torchvision loop"}
    assert all(
        row["steps"] == 2 and row["milliseconds"]["median"] > 0 for row in pair["contenders"]
    )
    live, cached = pair["phases"].values()
    for found in (live, cached):
        phases = found["milliseconds"]
        assert {"data", "teacher", "student", "loss", "backward", "optimizer"} < phases.keys()
        assert 0 < found["own_share"] < 1
        assert found["epoch"]["gradient_shares_ms"] > 0
    for ratio in pair["ratios"]:
        assert ratio["lower"] <= ratio["median"] <= ratio["upper"]
