"""`kdrun verify` names every file that is not as it was written, and nothing else."""

import os
import shutil

import pytest

from kdrun.cli.entry import main
from kdrun.errors import ConfigError, DamagedError
from kdrun.runs.runner import run
from kdrun.runs.verify import show_verified
from kdrun.store.files import read_json, read_sealed, write_json, write_sealed


@pytest.fixture(scope="module")
def whole(make_config, tmp_path_factory):
    """An output root with one finished run."""
    root = tmp_path_factory.mktemp("verify") / "outputs"
    config = make_config(
        *("teacher=mlp", "teacher.width=8", "student=mlp", "student.width=4", "train.epochs=1"),
        *("teacher.min_accuracy=0", "dataset.limit=200", "train.device=cpu"),
        f"output_root={root}",
    )
    run(config, root / "run", [])
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "outputs", symlinks=True)


def test_a_whole_output_root_is_found_whole(root, capsys):
    show_verified(root)
    printed = capsys.readouterr().out
    assert printed.startswith("5 folders with ")  # the run, three stages, the teacher's outputs
    assert printed.endswith("files are as they were written\n")


def test_a_run_alone_is_verified_with_the_stages_it_links_to(root, capsys):
    show_verified(root / "run")
    assert capsys.readouterr().out.startswith("4 folders")


def test_a_finished_run_whose_models_are_gone_is_named(root, capsys):
    gone = sorted((root / "run" / "stages").iterdir())
    gone[1].unlink()
    with pytest.raises(DamagedError, match="student mlp is missing in stages/"):
        show_verified(root / "run")
    shutil.rmtree(root / "run" / "stages")
    with pytest.raises(DamagedError) as found:
        show_verified(root / "run")
    told = str(found.value).splitlines()
    assert len(told) == 3
    assert all("is missing in stages/" in line for line in told)
    with pytest.raises(SystemExit):
        main(["resume", str(root / "run")])
    assert "control mlp is no longer in stages/" in capsys.readouterr().out


FILES = (
    *("run/config.yaml", "run/plan.json", "run/environment.json", "run/overrides.yaml"),
    *("run/summary.json", "run/metrics.jsonl", "store/*/best.safetensors"),
    *("store/*/stage.json", "store/*/summary.json", "store/*/metrics.jsonl"),
    *("store/*/checkpoints/*/state.pt", "store/*/checkpoints/*/weights.safetensors"),
    *("store/*/checkpoints/*/manifest.json", "store/*/checkpoints/best-*"),
)


@pytest.mark.parametrize("pattern", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_named(root, pattern, damage):
    path = sorted(root.glob(pattern))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    with pytest.raises(DamagedError) as told:
        show_verified(root)
    assert str(path) in str(told.value)


def test_every_damaged_file_is_named_once(root):
    paths = [root / "run" / "metrics.jsonl", *root.glob("store/*/best.safetensors")]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(DamagedError) as told:
        show_verified(root)
    lines = str(told.value).splitlines()
    assert len(lines) == len(paths) == 4
    assert all(sum(str(path) in line for line in lines) == 1 for path in paths)


def test_a_stage_that_is_no_longer_there_is_told(root):
    shutil.rmtree(next((root / "run" / "stages").iterdir()).resolve())
    with pytest.raises(DamagedError, match="points to a missing stage"):
        show_verified(root / "run")


def test_a_stage_in_anothers_place_is_told(root):
    identity = next(root.glob("store/*/stage.json"))
    summary = read_sealed(identity.parent / "summary.json")
    write_json(identity, read_json(identity) | {"augment": "none"})
    from kdrun.store.stages import finish

    finish(identity.parent, {k: v for k, v in summary.items() if k != "files"})
    with pytest.raises(DamagedError, match="not what the folder is named after"):
        show_verified(root)


def test_figures_that_contradict_each_other_are_told(root):
    path = root / "run" / "summary.json"
    content = read_sealed(path)
    write_sealed(path, {**content, "gains": [gain | {"points": 50.0} for gain in content["gains"]]})
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: the gain of student"):
        show_verified(root)
    content["stages"][0]["accuracy"]["train"] = None
    write_sealed(path, content)
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: stage 0: accuracy\.train"):
        show_verified(root)


def test_figures_of_a_stage_that_contradict_each_other_are_told(root):
    path = next(root.glob("store/*/summary.json"))
    write_sealed(path, read_sealed(path) | {"images_per_second": None})
    with pytest.raises(DamagedError, match=r"summary\.json is damaged: images_per_second is None"):
        show_verified(root)


def test_a_link_among_the_files_is_told(root, tmp_path):
    (root / "run" / "notes").symlink_to(tmp_path)
    with pytest.raises(DamagedError, match="notes is a link"):
        show_verified(root)


def test_what_was_set_aside_as_damaged_is_not_told_again(root):
    stage = next(root.glob("store/*/stage.json")).parent
    shutil.copytree(stage, stage / "damaged-2026")
    (stage / "damaged-2026" / "best.safetensors").write_bytes(b"")
    show_verified(root)


def test_a_forged_table_of_a_sweep_is_told(root):
    (root / "sweep.yaml").write_text("format: 1\n")
    write_sealed(root / "sweep.json", {"format": 1, "jobs": []})
    show_verified(root)
    write_json(root / "sweep.json", {"format": 1, "jobs": [1]})
    with pytest.raises(DamagedError, match=r"sweep\.json is damaged"):
        show_verified(root)


def test_a_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="contains no run, sweep, stage or cache"):
        show_verified(tmp_path)


def test_the_command_leaves_with_the_code_of_damage(root, capsys):
    (root / "run" / "metrics.jsonl").write_bytes(b"{")
    with pytest.raises(SystemExit) as left:
        main(["verify", str(root)])
    assert left.value.code == 4
    errors = capsys.readouterr().err.splitlines()
    assert errors
    assert all(line.startswith("kdrun: ") for line in errors)


def exchange(one, other):
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)


def test_exchanged_entries_of_the_store_are_told(root):
    one, other = sorted((root / "store").glob("[0-9a-f]*"))[:2]
    exchange(one, other)
    with pytest.raises(DamagedError) as told:
        show_verified(root)
    assert all(f"{place}" in str(told.value) for place in (one, other))


def test_exchanged_links_of_a_run_are_told(root):
    exchange(*sorted((root / "run" / "stages").iterdir())[1:])
    with pytest.raises(DamagedError, match="it links to the stage"):
        show_verified(root)


@pytest.mark.parametrize("level", ["store", "cache", "run/plots", "store/[0-9a-f]*"])
def test_a_link_at_any_level_is_told(root, tmp_path, level):
    (root / "run" / "plots").mkdir(exist_ok=True)
    path = sorted(root.glob(level))[0]
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(DamagedError, match=f"{path.name} is a link"):
        show_verified(root)


def test_damaged_outputs_of_the_teacher_are_told(root):
    rows = next(root.glob("cache/*/*.rows"))
    content = bytearray(rows.read_bytes())
    content[-1] ^= 1
    rows.write_bytes(content)
    with pytest.raises(DamagedError, match=r"\.rows is damaged: its checksum differs"):
        show_verified(root)


def test_outputs_of_another_teacher_in_a_folder_are_told(root):
    key = next(root.glob("cache/*"))
    key.rename(key.with_name("0123456789abcdef"))
    with pytest.raises(DamagedError) as told:
        show_verified(root)
    assert "key.json is damaged: it is not what the folder is named after" in str(told.value)
    assert "belongs to another page" in str(told.value)


def test_a_pipe_among_the_files_is_told_and_nothing_hangs(root):
    (root / "run" / "metrics.jsonl").unlink()
    os.mkfifo(root / "run" / "metrics.jsonl")
    with pytest.raises(DamagedError, match="neither a file nor a folder"):
        show_verified(root)
