"""The worked examples of CONTRIBUTING.md, built in a copy of the package and run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ROW = re.compile(r"# (\S+): a row of (\w+)\n")

pytestmark = pytest.mark.slow


def blocks():
    """(language, content) of every fenced block."""
    return BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with the files and rows of every example."""
    root = tmp_path_factory.mktemp("extended")
    for folder in ("kdrun", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    for language, content in blocks():
        if language == "sh":
            continue
        if row := ROW.match(content):
            add_row(root / row.group(1), row.group(2), content[row.end() :])
        else:
            path, _, text = content.removeprefix("# ").partition("\n")
            assert not (root / path).exists()
            (root / path).write_text(text)
    return root


def add_row(path, table, row):
    """Insert a row before the end of the table."""
    before, start, rest = path.read_text().partition(f"\n{table}: dict[")
    assert start
    inside, end, after = rest.partition("\n}\n")
    path.write_text(f"{before}{start}{inside}\n{row.rstrip()}{end}{after}")


def kdrun(root, words, folder):
    """`kdrun` of the copy, in a process of its own."""
    return call(root, folder, "kdrun", *words)


def call(path, folder, *module):
    """A module of the packages on the path, run in the folder."""
    given = {"PYTHONPATH": str(path), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("example", range(4))
def test_the_commands_of_an_example_do_what_they_say(extended, tmp_path, example):
    commands = [content for language, content in blocks() if language == "sh"][example]
    for line in commands.strip().splitlines():
        done = kdrun(extended, line.split()[1:], tmp_path)
        assert done.returncode == 0, done.stderr


def test_an_added_loss_is_in_the_help_the_formula_and_the_hash(extended, tmp_path):
    told = kdrun(extended, ["--help"], tmp_path).stdout
    assert "  cosines:" in told
    plans = [
        kdrun(extended, ["plan", "loss=[kd,cosines]", "student=resnet8", *more], tmp_path).stdout
        for more in ([], ["loss.cosines.weight=3"])
    ]
    assert "+ 100 cosines" in plans[0]
    assert "+ 3 cosines" in plans[1]
    refused = kdrun(extended, ["plan", "loss.cosines.weight=-1"], tmp_path)
    assert "loss.cosines.weight=-1: must be at least 0" in refused.stderr


def test_the_rows_of_the_examples_pass_what_every_row_passes(extended, tmp_path):
    """The generic tests of the catalog, on the copy."""
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    options = ("-q", "-p", "no:cacheprovider", "-k", "cosines", "tests/catalog/test_terms.py")
    done = call(f"{extended}{os.pathsep}{tmp_path}", tmp_path, "pytest", *options)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
