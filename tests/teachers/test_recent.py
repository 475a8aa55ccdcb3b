"""Results that several students share: the last few, and those in use."""

import torch

from kdrun.teachers.recent import LastResults, ResultsInUse


def test_the_last_results_are_made_once_for_the_very_object():
    made, results = [], LastResults(2)
    keys = [torch.zeros(1) for _ in range(3)]

    def ask(key):
        return results.get(key, lambda: made.append(key) or len(made))

    assert [ask(keys[0]), ask(keys[1]), ask(keys[0])] == [1, 2, 1]
    assert ask(keys[2]) == 3  # the first makes room
    assert ask(keys[0]) == 4
    assert ask(torch.zeros(1)) == 5  # equal, but another


def test_a_result_in_use_is_made_once_and_dropped_with_its_last_user():
    results = ResultsInUse()
    ours = results.get("view", lambda: torch.zeros(1))
    assert results.get("view", lambda: torch.ones(1)) is ours
    assert len(results) == 1
    del ours
    assert len(results) == 0
    assert results.get("view", lambda: None) is None
