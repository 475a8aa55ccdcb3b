"""Text of `kdrun --help`: commands, groups and settings, without starting Hydra."""

from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.catalog.loggers import LOGGERS
from kdrun.catalog.options import Option, option_lines
from kdrun.catalog.rows import own_options
from kdrun.catalog.tables import TABLES
from kdrun.catalog.terms import TERMS, section_of, sections
from kdrun.cli.verbs import VERBS
from kdrun.config.paths import config_folder, shipped_options

NARROWEST, WIDEST = 60, 100
FLAGS = {
    "kdrun --cfg job [key=value ...]": "show the whole configuration",
    "kdrun --version": "",
    "kdrun --hydra-help": "flags of Hydra: --config-dir, --info, shell completion, ...",
}


def help_text() -> str:
    """Return the help, wrapped to the width of the terminal."""
    width = max(NARROWEST, min(WIDEST, get_terminal_size((WIDEST, 0)).columns))
    folder = config_folder()
    groups = [(f"{one.name}=", _options(one)) for one in sorted(folder.iterdir()) if one.is_dir()]
    settings = (folder / "config.yaml").read_text().partition("\n\n")[2].partition("\nhydra:")[0]
    settings = "\n\n".join(map(_with_terms, settings.strip().split("\n\n")))
    return "\n\n".join(
        [
            "kdrun: knowledge-distillation experiments from one command",
            _rows(_commands(), 32, width),
            "--traceback with any command shows where an error came from.",
            f"Groups, chosen as group=option:\n{_rows(groups, 12, width)}",
            "Models of teacher= and student=:\n"
            + fill(", ".join(ARCHITECTURES), width, initial_indent="  ", subsequent_indent="  "),
            f"Keys that choose among methods:\n{_rows(_methods(), 24, width)}",
            "Settings, given as section.key=value, with their defaults:",
            _wrapped(_with_own_options(settings), width),
        ]
    )


def _with_terms(block: str) -> str:
    """Return a block of settings; the block of `loss` with the settings of its terms."""
    if not block.startswith("loss:"):
        return block
    lines = [block]
    for section, options in sections().items():
        papers = [row.paper for name, row in TERMS.items() if section_of(name) == section]
        lines += [f"{f'  {section}:':<26}# {papers[0]}", *option_lines(options, 4)]
    return "\n".join(lines)


def _commands() -> list[tuple[str, str]]:
    uses = [use for verb in VERBS.values() for use in verb.uses.items()]
    return [*uses, *FLAGS.items()]


def _methods() -> list[tuple[str, str]]:
    rows = {table.key: table.rows for table in TABLES} | {"logger": LOGGERS}
    return [(f"{key}=", ", ".join(found)) for key, found in rows.items()]


def _with_own_options(settings: str) -> str:
    """Return the settings, each section with the options added by rows."""
    own: dict[str, dict[str, Option]] = {}
    for table in TABLES:
        own.setdefault(table.section, {}).update(own_options(table.rows))
    blocks = settings.split("\n\n")
    return "\n\n".join(
        "\n".join([block, *option_lines(own.get(block.partition(":")[0], {}), 2)])
        for block in blocks
    )


def _options(group: Path) -> str:
    models = "a model below, or " if group.name in ("teacher", "student") else ""
    return models + ", ".join(shipped_options(group.name))


def _rows(rows: Iterable[tuple[str, str]], column: int, width: int) -> str:
    """Return two columns, the second wrapped."""
    return "\n".join(
        fill(
            f"  {head:<{column}} {text}",
            width,
            subsequent_indent=" " * (column + 3),
            break_on_hyphens=False,
        )
        for head, text in rows
    )


def _wrapped(settings: str, width: int) -> str:
    """Return the YAML with its comments rewrapped."""
    joined: list[str] = []
    for line in settings.splitlines():
        if joined and line.lstrip().startswith("#") and line.index("#") == joined[-1].find("#"):
            joined[-1] += line.partition("#")[2]
        else:
            joined.append(line)
    return "\n".join(
        fill(line, width, subsequent_indent=" " * line.find("#") + "# ", break_on_hyphens=False)
        if "#" in line
        else line
        for line in joined
    )
