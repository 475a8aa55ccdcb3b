"""Paths of every kind on the command line, and the messages for values that need quotes."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.config.compose import compose_job, readable_words, run_app
from kdrun.config.flags import split_words
from kdrun.config.path_overrides import in_quotes, readable
from kdrun.config.unreadable import several_values, unreadable
from kdrun.errors import ConfigError
from kdrun.runs.resume_overrides import checked_overrides

NAMES = r"""D lo ng
Dé
D%x
D(1)
D#1
D=1
D[1]
D{1}
D'1
D"1
D$1
D\
D:1
D;1
D&1
D+1
D@1
D!1
数据
D–dash
~/data
~
007
1e3
2024_10
C:\data
a\"b
true""".splitlines()


def value_of(override):
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["dataset.root", "teacher.weights", "++student.weights"])
def test_a_path_of_any_name_is_read_as_it_was_typed(key, name):
    (word,) = readable([f"{key}={name}"])
    assert value_of(word) == name
    assert readable([word]) == [word]


def test_several_paths_of_a_sweep_are_quoted_one_by_one():
    words = readable(["dataset.root=数据,b", "dataset.root=a,b"], sweep=True)
    assert words == ['dataset.root="数据","b"', "dataset.root=a,b"]
    assert readable(["dataset.root=数据,b"]) == ["dataset.root=数据,b"]


def test_composing_takes_such_a_path():
    composed = compose_job(["dataset=imagefolder", "dataset.root=数 据(1)", "output_root=007"])
    assert composed.dataset.root == "数 据(1)"
    assert composed.output_root == "007"


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter("${".__ne__))
def test_whatever_is_put_in_quotes_is_read_back(text):
    if "${" not in text:
        assert value_of(f"x={in_quotes(text)}") == text


@pytest.mark.parametrize("key", ["output_root", "hydra.run.dir", "hydra.sweep.dir"])
def test_the_home_folder_is_expanded_where_hydra_makes_the_folder(monkeypatch, key):
    monkeypatch.setenv("HOME", "/home/me")
    assert readable([f"{key}=~/out"]) == [f"{key}=/home/me/out"]
    assert readable([f"{key}=a/~/out"])[0].partition("=")[2].strip('"') == "a/~/out"


def test_resume_reads_paths_alike(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    changes = checked_overrides(["output_root=~/out (1)", "dataset.root=~/数据"])
    assert changes == {"output_root": "/home/me/out (1)", "dataset.root": "~/数据"}
    with pytest.raises(ConfigError, match="values are separated by commas"):
        checked_overrides(["logger=a;b"])


@pytest.mark.parametrize("word", ["loss.T=1,2", "dataset.root=a,b", "dataset.root=null", "-m", "x"])
def test_other_words_stay(word):
    assert readable([word]) == [word]


@pytest.mark.parametrize(
    ("override", "sign"),
    [
        ("logger=a=b", "="),
        ("logger=a=é", "é"),
        ("logger=a#b", "#"),
        ("teacher.ensemble=[mlp,数据/a.pt]", "数"),
    ],
)
def test_the_character_that_is_the_trouble_is_named_with_quoting_that_works(override, sign):
    with pytest.raises(HydraException) as refused:
        OverridesParser.create().parse_override(override)
    line = unreadable(override, refused.value)
    assert line.startswith(f"{override}: '{sign}'")
    (typed,) = shlex.split(line.partition("write ")[2])
    value, key = value_of(typed), override.partition("=")[0]
    given = override.partition("=")[2]
    assert typed.startswith(f"{key}=")
    assert value == given if isinstance(value, str) else ",".join(value) == given.strip("[]")


def test_relative_paths_start_where_the_command_was_typed(tmp_path, monkeypatch):
    seen = []
    monkeypatch.chdir(tmp_path)
    words = ["hydra.job.chdir=true", "hydra.run.dir=run", "dataset.root=data"]
    run_app(words, lambda composed: seen.append((Path.cwd(), composed.dataset.root)))
    assert seen == [(tmp_path, "data")]
    assert Path.cwd() == tmp_path


def test_a_path_with_a_comma_is_told_how_to_quote_it():
    assert several_values("dataset.root=D,1", []) == (
        "dataset.root=D,1: several values are a sweep; write kdrun -m dataset.root=D,1, or give "
        "one value with a comma as 'dataset.root=\"D,1\"'"
    )


def test_the_home_folder_of_a_config_dir_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = readable_words(split_words(["--config-dir=~/conf", "loss.T=2", "-cn", "x"]))
    assert words.flags == {"--config-dir": "/home/me/conf", "--config-name": "x"}
