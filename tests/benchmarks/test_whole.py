"""The benchmark of whole runs runs; nothing here depends on how fast."""

import json
from dataclasses import replace

import pytest
import torch

from tests.benchmarks import whole
from tests.benchmarks.pairs import PAIRS

PAIR = "resnet20->resnet8"


@pytest.mark.slow
def test_runs_are_held_against_the_bare_networks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(whole, "EPOCHS", 1)
    rates = whole.run_rates(
        replace(PAIRS[PAIR], image_size=8, classes=4, batches=4), torch.device("cpu"), 0
    )
    assert rates.keys() == {"student", "control"}
    monkeypatch.setattr(whole, "run_rates", lambda *given: rates)
    bare = {"bare student": 2 * rates["control"], "bare teacher + student": rates["student"]}
    monkeypatch.setattr(whole, "bare_rates", lambda options: bare)
    file = tmp_path / "whole.json"
    whole.main(["--rounds", "2", "--device", "cpu", "--json", str(file)])
    measured = json.loads(file.read_text())
    assert measured["time_over_bare"]["control"]["median"] == pytest.approx(2)
    assert measured["time_over_bare"]["student"]["median"] == pytest.approx(1)
    assert "time over bare" in capsys.readouterr().out


@pytest.mark.slow
def test_the_bare_loops_of_a_process_of_their_own_are_timed(monkeypatch, capsys):
    tiny = replace(PAIRS[PAIR], image_size=8, classes=4, batch_size=4, batches=4)
    monkeypatch.setitem(whole.PAIRS, "tiny", tiny)
    whole.print_bare("tiny", "cpu", 0)
    rates = json.loads(capsys.readouterr().out)
    assert rates.keys() == set(whole.SIDES.values())
    assert all(rate > 0 for rate in rates.values())
