"""The trace tells what a step does; nothing here depends on how fast."""

import gzip
import json

import pytest

from tests.benchmarks import pairs, trace
from tests.benchmarks.pairs import Pair

TINY = Pair("resnet8", "resnet8", 8, 2, 4, 4, steps=1, batches=8)


@pytest.fixture
def found(monkeypatch, tmp_path):
    monkeypatch.setitem(pairs.PAIRS, "tiny", TINY)
    options = ["--pair", "tiny", "--steps", "3", "--threads", "1", "--device", "cpu"]
    return trace.main([*options, "--precision", "fp32", "--folder", str(tmp_path)])


def test_a_step_is_divided_into_phases(found, tmp_path):
    live, cached = found["live"]["phases"], found["cached"]["phases"]
    assert {"data", "teacher", "student", "loss", "backward", "optimizer"} < live.keys()
    for name, row in live.items():
        assert row["operations"] > 0, name
        assert row["host_ms"] > 0, name
        assert row["device_ms"] == 0
    assert cached["teacher"]["operations"] < live["teacher"]["operations"] / 3
    assert cached["student"]["operations"] == live["student"]["operations"]
    told = sum(row["host_ms"] for row in live.values())
    assert told == pytest.approx(found["live"]["wall_ms"], rel=0.2)
    assert found["live"]["waits"] == found["cached"]["waits"] == {}
    assert json.loads((tmp_path / "trace.json").read_text())["steps"] == 3
    with gzip.open(tmp_path / "live.json.gz") as file:
        names = {event["name"] for event in json.load(file)["traceEvents"] if "name" in event}
    assert {"kdrun: student", "kdrun: data"} <= names
