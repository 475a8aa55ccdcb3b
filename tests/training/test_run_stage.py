"""The record of a trained stage."""

from kdrun.runs.runner import run
from kdrun.store.files import read_sealed

SMALL = (
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4"),
    *("train.epochs=1", "train.device=cpu", "teacher.min_accuracy=0", "dataset.limit=200"),
    *("analysis=off", "chain.control=false"),
)


def test_compared_layers_are_printed_and_recorded(make_config, tmp_path, capsys):
    losses = ("loss=[kd,hint,attention,rkd]", "loss.hint.layers=[layer1:layer2]")
    run(make_config(*SMALL, *losses, f"output_root={tmp_path}"), tmp_path / "run", [])
    teacher, student = read_sealed(tmp_path / "run" / "summary.json")["stages"]
    assert "layers" not in teacher
    found = student["layers"]
    assert found["loss.hint"] == ["layer1:layer2"]
    assert found["loss.attention"] == [f"layer{n}:layer{n}" for n in (1, 2, 3)]
    assert found["loss.rkd"] == ["penultimate:penultimate"]
    out = capsys.readouterr().out
    for section, pairs in found.items():
        line = f"student convnet: {section} compares the layers {', '.join(pairs)}"
        assert f"{line} (student:teacher)\n" in out
