"""The search path of presets and models, with folders and primary configs of the user's own."""

import pytest

from kdrun.cli.entry import main

OWN = "defaults:\n  - config\n  - _self_\nloss:\n  T: 7\n"


@pytest.mark.parametrize(
    "words",
    [
        ("hydra.searchpath=[file://conf]", "+experiment=mine"),
        ("--config-dir", "conf", "--config-name", "own"),
        ("--config-path", "{here}/conf", "--config-name", "own"),
        ("--config-dir", "conf", "--config-name", "with_path"),
    ],
)
def test_all_models_and_presets_are_there(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    mine = "# @package _global_\nloss:\n  T: 7\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(mine)
    (tmp_path / "conf" / "own.yaml").write_text(OWN)
    path = "hydra:\n  searchpath: [file://conf]\n"
    (tmp_path / "conf" / "with_path.yaml").write_text(path + OWN)
    given = [word.format(here=tmp_path) for word in words]
    with pytest.raises(SystemExit) as left:
        main(["--cfg", "job", *given, "student=vgg8", "loss=dkd"])
    out = capsys.readouterr().out
    assert left.value.code in (0, None)
    assert "T: 7" in out
    assert "arch: vgg8" in out
