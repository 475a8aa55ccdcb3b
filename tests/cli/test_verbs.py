"""The table of commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdrun.catalog.rows import load_code
from kdrun.cli import commands
from kdrun.cli.entry import main
from kdrun.cli.help import help_text
from kdrun.cli.verbs import VERBS, Verb


@pytest.mark.parametrize("name", VERBS)
def test_the_code_of_a_verb_is_its_module_s_function_of_that_name(name):
    assert VERBS[name].code == f"kdrun.cli.commands.{name}:{name}"
    function = load_code(VERBS[name].code)
    assert (function.__module__, function.__name__) == (f"kdrun.cli.commands.{name}", name)


def test_every_command_s_file_has_a_row():
    folder = Path(commands.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(VERBS)


def test_help_imports_no_command():
    program = (
        "import sys; from kdrun.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.startswith('kdrun.cli.commands') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0


def test_a_verb_is_one_function_and_one_row(tmp_path, monkeypatch, capsys):
    (tmp_path / "shouting.py").write_text("def shout(words): print(*words, sep='!', end='!')\n")
    monkeypatch.syspath_prepend(tmp_path)
    use = {"kdrun shout WORD...": "repeat the words"}
    monkeypatch.setitem(VERBS, "shout", Verb("shouting:shout", use))
    with pytest.raises(SystemExit) as left:
        main(["shout", "a", "b"])
    assert (left.value.code, capsys.readouterr().out) == (0, "a!b!")
    assert "kdrun shout WORD..." in help_text()
    with pytest.raises(SystemExit):
        main(["shou"])
    assert "did you mean 'shout'?" in capsys.readouterr().err
