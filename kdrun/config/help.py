"""`kdrun --help`: commands, groups and every setting explained, without starting Hydra."""

from pathlib import Path
from textwrap import fill

from kdrun.config.folder import config_folder, shipped_options
from kdrun.models.names import ARCHITECTURES

COMMANDS = """\
kdrun: knowledge-distillation experiments from one command

  kdrun [run] [key=value ...]      train a teacher, distil it into a student, report
  kdrun -m key=v1,v2 [...]         a sweep; teachers are trained once and shared
  kdrun resume DIR [key=value ...] go on with a run or a sweep; finished work is kept
  kdrun verify DIR                 check every file of a run, sweep, stage or store
  kdrun analyze DIR                measure a finished run: layers, attention, fine grids of T too
  kdrun report DIR... [--format F] the page of a run; several or a sweep side by side, with F one of
                                   table, md, csv, json, latex, html
  kdrun export DIR [--format F]    the student alone, checked: safetensors,pt2,onnx
  kdrun plan [--probe] [...]       show the stages and what they will take; write nothing
  kdrun layers MODEL [...]         module paths and shapes of a model
  kdrun --cfg job [key=value ...]  show the whole configuration
  kdrun --version
  kdrun --hydra-help               flags of Hydra: --config-dir, --info, shell completion, ...

--traceback with any command shows where an error came from."""


def help_text() -> str:
    """The whole help."""
    folder = config_folder()
    groups = "\n".join(_group(path) for path in sorted(folder.iterdir()) if path.is_dir())
    models = fill(", ".join(ARCHITECTURES), 98, initial_indent="  ", subsequent_indent="  ")
    settings = (folder / "config.yaml").read_text().partition("\n\n")[2].partition("\nhydra:")[0]
    return (
        f"{COMMANDS}\n\nGroups, chosen as group=option:\n{groups}\n\n"
        f"Models of teacher= and student=:\n{models}\n\n"
        f"Settings, given as section.key=value, with their defaults:\n\n{settings.strip()}"
    )


def _group(path: Path) -> str:
    options = ", ".join(shipped_options(path.name))
    models = "a model below, or " if path.name in ("teacher", "student") else ""
    head = f"  {path.name + '=':<13}"
    return fill(models + options, 98, initial_indent=head, subsequent_indent=" " * len(head))
