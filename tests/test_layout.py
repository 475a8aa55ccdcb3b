import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kdrun

PACKAGE = Path(kdrun.__file__).parent
ROOT = PACKAGE.parent


def test_the_top_of_the_package_holds_few_files():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "cli.entry",
        "config.schema",
        "config.compose",
        "config.parse",
        "plan",
        "catalog.architectures",
        "catalog.datasets",
        "store.files",
        "store.run_folder",
        "store.stages",
        "store.summary",
        "runs.sweep.sweep",
        "runs.sweep.hydra_callback",
        "runs.resume_overrides",
        "report.sweep_table",
        "report.comparison_page",
    ],
)
def test_what_answers_at_once_imports_no_torch(module):
    program = f"import sys, kdrun.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0


def test_every_module_says_in_its_first_sentence_what_it_is():
    for path in PACKAGE.rglob("*.py"):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        assert first.endswith("."), path
        assert first.split()[0] not in {"What", "Whether", "How", "Where", "Which"}, path


def test_folders_of_tests_are_those_of_the_package():
    apart = {"benchmarks", "faults", "pictures"}
    for path in (ROOT / "tests").rglob("__init__.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        if not apart & set(folder.parts):
            assert (PACKAGE / folder).is_dir(), folder


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "kdrun", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"kdrun {kdrun.__version__}\n"
    assert (PACKAGE / "py.typed").exists()
