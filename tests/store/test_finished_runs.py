"""What a run names has to be its own: stages behind links, analysis, plan."""

from pathlib import Path

import pytest

from kdrun.errors import MisplacedError
from kdrun.store.files import write_sealed
from kdrun.store.finished_runs import check_analysis, linked_stage, planned_hashes
from tests.store.test_stages import stage


def linked(tmp_path, place, folder):
    link = tmp_path / "run" / "stages" / f"{place:02}-student-mlp"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path("..", "..", "store", folder.name))
    return link


def test_a_link_has_to_lead_to_the_stage_of_its_run(tmp_path):
    (one, first), (_, second) = stage(tmp_path, 4), stage(tmp_path, 8)
    linked(tmp_path, 0, one)
    assert linked_stage(tmp_path / "run", 0, first) == one
    assert linked_stage(tmp_path / "run", 0, None) == one
    assert linked_stage(tmp_path / "run", 1, first) is None
    with pytest.raises(MisplacedError, match=f"links to the stage {first}, not to {second}"):
        linked_stage(tmp_path / "run", 0, second)


def test_a_copied_stage_is_known_by_its_identity(tmp_path):
    folder, digest = stage(tmp_path)
    (tmp_path / "run" / "stages").mkdir(parents=True)
    copied = folder.rename(tmp_path / "run" / "stages" / "00-student-mlp")
    assert linked_stage(tmp_path / "run", 0, digest) == copied


def test_an_analysis_of_another_run_is_noticed():
    stages = [{"role": "student", "arch": "mlp", "hash": "a"}]
    own = {"models": [{"role": "student", "arch": "mlp"}], "hashes": ["a"]}
    check_analysis(Path("analysis.json"), own, {"stages": stages})
    earlier = {"models": own["models"]}  # of a kdrun that did not write hashes
    check_analysis(Path("analysis.json"), earlier, {"stages": stages})
    for other in ({"hashes": ["b"]}, {"models": [{"role": "student", "arch": "vgg8"}]}):
        with pytest.raises(MisplacedError, match="another run"):
            check_analysis(Path("analysis.json"), own | other, {"stages": stages})


def test_what_follows_a_temperature_to_be_chosen_has_no_known_hash(tmp_path):
    label = {"role": "assistant", "arch": "mlp", "epochs": 1, "identity": {}}
    stages = [
        label | {"hash": f"{n:016x}", "teachers": taught, "T": T}
        for n, (taught, T) in enumerate([([], None), ([0], "auto"), ([1], 4.0), ([], None)])
    ]
    write_sealed(tmp_path / "plan.json", {"stages": stages})
    assert planned_hashes(tmp_path) == [f"{0:016x}", None, None, f"{3:016x}"]
