"""Wrong words of the command line: one line with what was given and what to write instead."""

import pytest

from kdrun.cli.entry import main

READ_BEFORE_HYDRA = [
    # flags
    ("--hlep", "--hlep: unknown option; did you mean '--help'?"),
    ("-x", "-x: unknown option; kdrun --help lists options"),
    ("--loss.T 4", "--loss.T: settings have no dashes; write loss.T=4"),
    ("-loss.T=4", "write loss.T=4"),
    ("--cfg", "--cfg: expected one argument, one of job, hydra, all; write --cfg job"),
    ("--cfg jobs", "--cfg jobs: must be one of job, hydra, all; did you mean 'job'?"),
    ("--info foo", "--info foo: must be one of all, config"),
    ("--config-dir", "--config-dir: expected one argument; write --config-dir FOLDER"),
    ("--resolve", "--resolve: belongs to --cfg; write kdrun --cfg job --resolve"),
    ("--probe=3", "--probe takes no value"),
    ("-m loss.T=1 --cfg job", "only one of --run, --multirun, --cfg"),
    ("loss.T=1,4 --info -m", "leave out --multirun"),
    ("--shell-completion", "takes install=SHELL"),
    ("-sc install=csh", "bash, zsh, fish, not install=csh"),
    ("plan loss.T=1 -m", "--multirun: not for kdrun plan; leave it out"),
    ("report . --csv", "--csv: unknown option"),
    ("verify . --format csv", "--format: not for kdrun verify"),
    # commands
    ("RUN", "did you mean 'run'?"),
    ("train", "unknown command 'train'; did you mean 'run'?"),
    ("evaluate x", "did you mean 'analyze'?"),
    ("run help", "'help': not a setting; write key=value"),
    ("-m resume-it", "unknown command 'resume-it'"),
    ("resume nowhere", "nowhere: no such folder"),
    ("resume file", "file: no folder but a file; give its folder: ."),
    (
        "report . format=csv",
        "report takes folders and --format only; write --format csv",
    ),
    ("analyze", "analyze needs a folder: kdrun analyze outputs/..."),
    ("layers dataset=digits", "layers needs a model: kdrun layers resnet20"),
    # words that are not key=value
    ("teacher resnet50", "teacher resnet50: has no equals sign; write teacher=resnet50"),
    ("plan teacher", "teacher: has no equals sign; write teacher=..."),
    ("loss.T = 4", "loss.T = 4: has a space; write loss.T=4"),
    ("loss.T= 4", "loss.T= 4: has a space; write loss.T=4"),
    ("loss.T =4", "loss.T =4: has a space; write loss.T=4"),
    ("loss.T:4", "loss.T:4: settings have an equals sign; write loss.T=4"),
    (["loss.T=1", ""], "an empty word"),
    (["loss.T=1 train.epochs=2"], "quote each by itself: 'loss.T=1' 'train.epochs=2'"),
    (["loss.T = 4"], "has spaces around '='; write loss.T=4"),
    ("loss.T==4", "write one '=': loss.T=4"),
    ("=4", "=4: has no key; write key=value"),
    ("loss..T=4", "'loss..T' is no key; did you mean 'loss.T'?"),
    ("loss.τ=4", "'τ' is in no key"),
    ("loss.T=４", "'４' is not an ASCII character; write loss.T=4"),
    ("seeds=[0,1,2", "'[' is not closed; write 'seeds=[0,1,2]'"),
    ("loss=kd]", "']' closes nothing; write loss=kd"),
    ("seeds=[0,1]3", "has text after ']'; write seeds=[0,1]"),
    ("-m loss.T=1,", "a comma without a value; write loss.T=1"),
    ("loss=(kd,rkd)", "lists have square brackets; write loss=[kd,rkd]"),
    ("loss=[kd;rkd]", "values are separated by commas; write loss=[kd,rkd]"),
    ('loss.T="4', 'the quote " is not closed; write loss.T=4'),
    ("logger=~/x", "'~' cannot be read here; write the folder in full: logger=$HOME/x"),
    ("logger=données", "'é' needs quotes; write 'logger=\"données\"'"),
    ("logger=/a=b", "'=' in a value needs quotes; write 'logger=\"/a=b\"'"),
    ("-m loss.T=range(1,a)", "list the values, as in loss.T=1,4"),
    ("-m loss.T=choce(1,4)", "did you mean 'choice'?"),
    # several values outside a sweep
    ("loss.T=1,4", "several values are a sweep; write kdrun -m loss.T=1,4, or give one value"),
    ("seeds=0,1", "seeds takes a list; write seeds=[0,1]"),
    # choices of groups
    ("teacher=null", "teacher=null: is not the name of an option; one of alexnet"),
    ("loss=null", "did you mean loss=none?"),
    ("dataset=null", "one of cifar10, cifar100, digits, fake, fashion_mnist, imagefolder"),
    ("train=3", "one of adamw, cifar, imagenet, sgd"),
    ("hydra=1", "hydra=1: is not the name"),
    ("temperature=4", "a number is set by loss.T=4"),
    ("teacher=", "names no option"),
    ("loss=[]", "names no option"),
    ("teacher=[resnet8,mlp]", "takes one name; write teacher=resnet8, or kdrun -m teacher="),
    ("~teacher", "every setting of kdrun has a value"),
]

READ_BY_HYDRA = [
    ("loss=KD", "unknown loss 'KD'; did you mean 'kd'?"),
    ("loss=kl", "unknown loss 'kl'; did you mean 'kd'?"),
    ("loss=zzzz", "mimic, nkd, none, rkd, standardized, wsl"),
    ("recipe=cifar100", "a folder; one of cifar100/attention, cifar100/born_again"),
    ("chain=ta", "did you mean 'assistants'?"),
    ("teacher=/x/y.pt", "teacher=ARCHITECTURE teacher.weights=/x/y.pt"),
    ("dataset=/data/x", "dataset=imagefolder dataset.root=/data/x"),
    ("T=4", "unknown key 'T'; did you mean 'loss.T'?"),
    ("LOSS.T=4", "did you mean 'loss.T'?"),
    ("seed=3", "did you mean 'train.seed'?"),
    ("loss.T.x=4", "loss.T has no keys below it"),
    ("seeds=3", "seeds=3: must be a list of whole numbers; write seeds=[3]"),
    ("loss.T=abc", "loss.T=abc: must be a number above 0 and at most 1000, or inf"),
    ("train.epochs=10min", "must be a whole number at least 1 and at most 100000; write 10"),
    (
        "train.device=gpu",
        "must be auto, cpu, mps, cuda or one such as cuda:1; did you mean 'cuda'?",
    ),
    ("cache=off", "cache=off: is a section; write cache.mode=off"),
    ("logger=[wandb,mlflow]", "must be one of none, tensorboard, mlflow, wandb"),
    ("loss.T=${nope}", "interpolation key 'nope' not found"),
    ("chain.assistants=[resnet20]", "is for chain=assistants, not none; add chain=assistants"),
    ("hydra.run.dir=", "must name a folder"),
    ("a" * 300, "unknown command 'aaa"),
    (f"resume {'a' * 300}", "no such folder"),
    (f"report {'a' * 300}", "no such folder"),
    (f"teacher={'a' * 300}", "unknown teacher 'aaa"),
    (f"dataset=cifar10 {'a' * 300}", "not a setting; write key=value"),
    ("report -- -x", "-x: no such folder"),
    ("loss.T=[1]]x", "']' closes nothing; write loss.T=[1]x"),
    ("loss.T=]", "']' closes nothing; write loss.T=VALUE"),
    ("hydra/launcher=null", "one of joblib, ray"),
    ("train.device=meta", "train.device=meta: must be"),
    ("hydra.searchpath=[file://nowhere]", "'nowhere' is not a folder"),
    ("--config-dir nowhere", "no such folder; give the folder of your own YAML"),
    ("--config-name nope", "--config-name nope: no nope.yaml"),
    ("-m loss=kd,KD2", "unknown loss 'KD2'; did you mean 'kd'? (job 1; none was started)"),
    ("train.lr=0.1,-1 -m", "train.lr=-1: must be above 0 and at most 1000 (job 1; none"),
    ("-m loss=[kd,dkd],[kd,none]", "none cannot be combined with others (job 1"),
    ("-m loss.T=range(0,0)", "an empty range, so the sweep has no job"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdrun.cli.commands.run.run_task", trains)
    (tmp_path / "file").touch()
    return tmp_path


def trains(composed):
    from kdrun.config.parse import parse

    parse(composed)
    pytest.fail("a wrong command would be trained")


@pytest.mark.parametrize(
    ("words", "told"), [*READ_BEFORE_HYDRA, *READ_BY_HYDRA], ids=lambda x: str(x)[:40]
)
def test_wrong_words_get_one_line_with_a_remedy(here, capsys, words, told):
    with pytest.raises(SystemExit) as left:
        main(words.split(" ") if isinstance(words, str) else words)
    out, err = capsys.readouterr()
    assert left.value.code == 2, err
    (line,) = err.splitlines()
    assert line.startswith("kdrun: ")
    assert told in line
    assert out == ""
    assert [path.name for path in here.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ("loss.T=7", "-c", "job", "train.epochs=3"),
        ("--cfg=job", "loss.T=7", "train.epochs=3"),
        ("loss.T=7", "train.epochs=3", "--cfg", "job"),
    ],
)
def test_flags_and_settings_come_in_any_order(here, capsys, words):
    with pytest.raises(SystemExit) as left:
        main(words)
    out = capsys.readouterr().out
    assert (left.value.code or 0, "T: 7" in out, "epochs: 3" in out) == (0, True, True)
