"""The command line as a user meets it: verbs, help, and one line for every mistake."""

import gzip
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf.errors import ConfigAttributeError

from kdrun import __version__
from kdrun.cli.entry import VERBS, main
from kdrun.errors import near_miss
from kdrun.models.build import build_model


def call(*words: str) -> int:
    """The exit code of `kdrun WORDS`."""
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code or 0


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, so that whatever is left behind shows."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_version(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"kdrun {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["run", "--help"], ["plan", "--help"]])
def test_help_lists_verbs_groups_models_and_settings(capsys, words):
    assert call(*words) == 0
    text = capsys.readouterr().out
    assert all(f"kdrun {verb}" in text for verb in VERBS if verb != "run")
    assert "fashion_mnist" in text
    assert "shufflenet_v2_x0_5" in text
    assert "alpha: 0.9" in text


def test_help_and_config_errors_import_neither_torch_nor_what_draws():
    resume = ["resume", ".", "train.lr=1"]
    wrong_device = ["train.device=gpu"]
    for words in (["--help"], ["loss.T=0"], wrong_device, ["teacher=nothing"], resume):
        code = (
            "import sys; from kdrun.cli import main\n"
            f"try: main({words!r})\n"
            "except SystemExit: pass\n"
            "sys.exit(bool({'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 0, words


def test_cfg_job_prints_the_composed_config(capsys, here):
    assert call("--cfg", "job", "loss.T=7") == 0
    out = capsys.readouterr().out
    assert "T: 7" in out
    assert "hydra" not in out


def test_plan_shows_the_stages_and_writes_nothing(capsys, here):
    assert call("plan", "dataset=cifar100", "teacher=resnet56", "student=resnet20") == 0
    out = capsys.readouterr().out
    for part in ("teacher resnet56", "student resnet20", "control resnet20", "862 k", "278 k"):
        assert part in out
    assert not list(here.iterdir())


def test_plan_with_a_probe_tells_the_time_and_writes_nothing(capsys, here, monkeypatch):
    monkeypatch.setattr("kdrun.runs.preview.estimates.TRIAL", 0.1)
    assert call("plan", "--probe", "teacher=mlp", "train.device=cpu", "seeds=[0,1]") == 0
    assert "if no stage is in the store" in capsys.readouterr().out
    assert not list(here.iterdir())


def test_layers_marks_what_cannot_be_hooked(capsys, here):
    assert call("layers", "resnet18", "dataset=cifar10") == 0
    rows = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    hooks = {row[0]: row[-1] for row in rows}
    assert hooks["layer1.0.bn2"] == "overwritten in place"
    assert hooks["layer1.0.relu"] == "called 2 times"
    assert hooks["layer1.0"] == hooks["layer4"] == "yes"


def test_a_run_through_the_command_line(here):
    assert call("teacher=mlp", "train.epochs=1", "teacher.min_accuracy=0") == 0
    assert len(list(here.glob("outputs/digits/mlp-mlp/*/summary.json"))) == 1


def test_what_happens_to_given_weights_is_told_and_logging_stays_on(here, capsys):
    net = build_model("mlp", num_classes=10, in_channels=1, image_size=8)
    torch.save({f"module.{k}": v for k, v in net.state_dict().items()}, "given.pt")
    words = ("teacher=mlp", "teacher.weights=given.pt", "teacher.min_accuracy=0")
    assert call(*words, "train.epochs=1", "analysis=off") == 0
    assert "given.pt: stripped 'module.' from all names" in capsys.readouterr().out
    assert not logging.getLogger("kdrun.models.pretrained").disabled


def test_hydra_run_dir_names_the_folder(here):
    words = ("teacher=mlp", "train.epochs=1", "teacher.min_accuracy=0", "hydra.run.dir=mine")
    assert call(*words) == 0
    assert (here / "mine" / "summary.json").is_file()
    assert call(*words) == 6


def truncated_idx(folder: Path) -> None:
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0\0\0\x05" * 3)[:-9])


WRONG = [
    (2, ["teacher=resnt50"], "unknown teacher 'resnt50'; did you mean 'resnet50'?"),
    (2, ["datset=digits"], "datset"),
    (2, ["train.epohcs=3"], "did you mean 'train.epochs'?"),
    (2, ["+foo=1"], "unknown key 'foo'"),
    (2, ["loss.foo=1"], "unknown key 'loss.foo' (kdrun --cfg job lists all)"),
    (2, ["los.T=1"], "unknown key 'los.T'; did you mean 'loss.T'?"),
    (2, ["loss.T=0"], "loss.T=0: must be above 0"),
    (2, ["loss.T=-1"], "loss.T=-1: must be above 0"),
    (2, ["loss.T=nan"], "loss.T=nan: must be above 0"),
    (2, ["loss.T=hot"], "loss.T=hot: must be a number above 0"),
    (2, ["loss.alpha=2"], "loss.alpha=2: must be at least 0 and at most 1"),
    (2, ["train.epochs=0"], "train.epochs=0: must be at least 1"),
    (2, ["train.epochs=1.5"], "train.epochs=1.5: must be a whole number at least 1"),
    (2, ["loss=kdd"], "unknown loss 'kdd'; did you mean 'kd'?"),
    (2, ["loss=[kd,kdd]"], "unknown loss 'kdd'; did you mean 'kd'?"),
    (2, ["loss.t=4"], "unknown key 'loss.t'; did you mean 'loss.T'?"),
    (2, ["teacher=resnet8", "plan"], "'plan' is a command; put it first: kdrun plan ..."),
    (2, ["train.device=gpu"], "train.device=gpu"),
    (2, ["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
    (2, ["student=alexnet"], "needs larger images than 8x8"),
    (2, ["student=vit_b_16"], "dataset.image_size"),
    (2, ["student=resnet8", "student.width=9"], "resnet8 has no width"),
    (2, ["loss.weights.hard=a=b"], "loss.weights.hard"),
    (2, ["layers"], "layers needs a model"),
    (2, ["chain=asistants"], "unknown chain 'asistants'; did you mean 'assistants'?"),
    (2, ["chain.stage.1.los.T=2"], "did you mean 'chain.stage.1.loss'?"),
    (2, ["chain=auto", "teacher=mlp", "student=convnet"], "no other sizes of mlp are known"),
    (2, ["temperature=auto", "loss=hard"], "has no temperature to choose"),
    (3, ["dataset=imagefolder", "dataset.root=nowhere"], "nowhere"),
    (3, ["dataset=cifar10", "dataset.root=nowhere", "dataset.download=false"], "nowhere"),
    (3, ["dataset=fashion_mnist", "dataset.root=truncated"], "idx"),
    (3, ["dataset.limit=12"], "dataset.limit"),
    (4, ["teacher.weights=missing.pt"], "missing.pt"),
    (4, ["teacher.weights=text.pt"], "not a readable checkpoint"),
    (4, ["teacher=convnet", "teacher.weights=hundred.pt"], "100 classes"),
    (2, ["teacher.weights_key=ema"], "teacher.weights_key=ema: needs teacher.weights=FILE"),
    (4, ["teacher.weights=DEFAULT"], "resnet20 has no published weights"),
    (6, ["output_root=file/outputs"], "cannot write"),
]


@pytest.mark.parametrize(("code", "words", "told"), WRONG, ids=lambda x: str(x)[:40])
def test_a_wrong_command_gives_one_line_its_code_and_leaves_nothing(
    here, capsys, code, words, told
):
    from kdrun.models.build import build_model

    (here / "text.pt").write_text("not a checkpoint")
    (here / "file").write_text("")
    (here / "truncated").mkdir()
    truncated_idx(here / "truncated")
    hundred = build_model("convnet", num_classes=100, in_channels=1, image_size=8)
    torch.save(hundred.state_dict(), here / "hundred.pt")
    before = sorted(here.rglob("*"))
    assert call(*words) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("kdrun: ")
    assert told in errors[0]
    assert sorted(here.rglob("*")) == before


def test_all_faults_of_a_command_are_told_together(here, capsys):
    assert call("loss.T=0", "train.lrr=1", "teacher=resnt50", "train.epochs=0") == 2
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_a_folder_may_bear_the_name_of_a_command(here, capsys):
    (here / "plan").mkdir()
    assert call("--config-dir", "plan", "loss.T=0") == 2
    assert "loss.T=0: must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("resume", "sweep", "--config-dir"), ("report", "sweep", "--format")]
)
def test_an_option_without_its_value_is_told(here, capsys, words):
    (here / "sweep").mkdir()
    (here / "sweep" / "sweep.yaml").touch()
    assert call(*words) == 2
    assert "expected one argument" in capsys.readouterr().err


def test_traceback_shows_where(here, capsys):
    assert call("loss.T=0", "--traceback") == 2
    assert "Traceback" in capsys.readouterr().err


def test_hydras_own_switch_shows_where_too_and_is_left_as_it_was(here, capsys, monkeypatch):
    assert call("loss.T=0") == 2
    assert "HYDRA_FULL_ERROR" not in os.environ
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert call("loss.T=0") == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_that_hydra_makes_a_config_error_of_is_one(here, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ConfigAttributeError("half composed")  # noqa: B904 - by way of the context

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", interrupted)
    assert call() == 130
    assert capsys.readouterr().err == ""


def test_the_nearest_name_is_the_one_that_begins_alike():
    assert near_miss("resnet21", ["resnet32", "resnet20", "mlp"]) == "; did you mean 'resnet20'?"
    assert near_miss("alhpa", ["beta", "alpha"]) == "; did you mean 'alpha'?"
    assert near_miss("xyz", ["alpha"]) == ""
