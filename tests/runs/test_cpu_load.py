"""How much of our cores others use, from what the system counts."""

import os
import re

import pytest
import torch

from kdrun.runs import cpu_load
from kdrun.runs.cpu_load import CpuSample, Watch, used_by_others

CPU = torch.device("cpu")

STAT = """cpu  999 999 999 999 999 999 999 999 0 0
cpu0 100 10 40 5000 70 3 2 5 0 0
cpu1 200 0 0 5000 0 0 0 0 0 0
cpu2 7777 0 0 5000 0 0 0 0 0 0
intr 1 2 3
"""


def test_the_time_of_our_cores_is_read_without_their_idling(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu_load, "TICKS", tmp_path / "stat")
    (tmp_path / "stat").write_text(STAT)
    ticks = os.sysconf("SC_CLK_TCK")
    found = cpu_load.now(frozenset({0, 1}))
    assert found is not None
    assert found.all == pytest.approx((100 + 10 + 40 + 3 + 2 + 5 + 200) / ticks)
    assert 0 < found.ours <= sum(os.times()[:2])


def test_a_system_that_does_not_count_gives_no_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu_load, "TICKS", tmp_path / "nothing")
    assert cpu_load.now(frozenset({0})) is None
    assert Watch().advice(CPU) == []


def test_what_is_not_ours_is_used_by_others():
    assert used_by_others(CpuSample(10, 100, 5), CpuSample(12, 104, 6)) == pytest.approx(1.5)
    assert used_by_others(CpuSample(10, 100, 5), CpuSample(12, 100.9, 6)) == 0.0


@pytest.mark.parametrize(
    ("others", "threads", "told"),
    [
        (0.4, 2, None),
        (1.4, 2, "use 1.4 of 2 cores, and 2 threads .* train.threads=1 "),
        (2.0, 2, "train.threads=1 "),
        (2.0, 1, None),
    ],
)
def test_threads_that_would_wait_for_one_another_are_told_of(monkeypatch, others, threads, told):
    moments = iter([CpuSample(10, 100, 5), CpuSample(11, 100.5 + others, 5.5)])
    monkeypatch.setattr(cpu_load, "now", lambda allowed: next(moments))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    watch = Watch()
    watch.cores = frozenset({0, 1})
    lines = watch.advice(CPU)
    if told is None:
        assert lines == []
    else:
        (line,) = lines
        assert re.search(told, line)


def test_a_gpu_computes_whatever_the_cores_do(monkeypatch):
    monkeypatch.setattr(cpu_load, "now", lambda allowed: CpuSample(1, 99, 0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert Watch().advice(torch.device("cuda")) == []
