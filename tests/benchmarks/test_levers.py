"""The benchmark of levers runs and measures; nothing here depends on how fast."""

import json

from tests.benchmarks import levers, pairs
from tests.benchmarks.pairs import Pair

TINY = Pair("resnet8", "resnet8", 8, 2, 4, 4, steps=1, batches=4)


def test_every_lever_is_timed(monkeypatch, tmp_path):
    monkeypatch.setitem(pairs.PAIRS, "tiny", TINY)
    monkeypatch.setattr(levers, "STUDENTS", 2)
    file = tmp_path / "levers.json"
    options = ["--pair", "tiny", "--rounds", "2", "--threads", "1", "--device", "cpu"]
    levers.main([*options, "--json", str(file)])
    measured = json.loads(file.read_text())
    names = [row["name"] for row in measured["levers"]]
    assert names[0] == "plain torchvision loop"
    assert names[-1] == "2 students in lockstep, each"
    assert len(set(names)) == len(names) >= 7
    assert all(row["milliseconds"]["median"] > 0 for row in measured["levers"])
    assert measured["levers"][0]["gain"]["median"] == 1
