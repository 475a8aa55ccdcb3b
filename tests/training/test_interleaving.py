"""Work by turns: what it comes to, and whose time is counted."""

import pytest

from kdrun.training import interleaving
from kdrun.training.interleaving import Stopwatch, run_to_end


def work(result, log, steps=3):
    for step in range(steps):
        yield 0, step
        log.append(step)
    return result


def test_drained_takes_every_turn_and_returns_what_they_came_to():
    log = []
    assert run_to_end(work("done", log)) == "done"
    assert log == [0, 1, 2]


def test_an_error_between_turns_is_raised():
    def broken():
        yield 0, 0
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_to_end(broken())


def test_a_stopwatch_leaves_out_what_others_do_between_turns(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(interleaving.time, "monotonic", lambda: clock[0])

    def own():
        for _ in range(3):
            clock[0] += 1
            yield 0, 0
        clock[0] += 1
        return "result"

    watch = Stopwatch(seconds=10)
    timed = watch.timed(own())
    for position in iter(lambda: next(timed, None), None):
        assert position == (0, 0)
        clock[0] += 50
    assert watch.seconds == 14
    assert run_to_end(Stopwatch().timed(work("value", []))) == "value"
