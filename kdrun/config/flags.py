"""Options of the command line that begin with a dash: Hydra's and those of commands."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdrun.errors import ConfigError, near_miss


@dataclass(frozen=True)
class Flag:
    """An option of the command line.

    Attributes:
        short: other spelling.
        takes: example of its value; empty for none.
        values: allowed values; empty for any.
        optional: whether the value may be left out.
    """

    short: str = ""
    takes: str = ""
    values: tuple[str, ...] = ()
    optional: bool = False


CONFIG = ("--config-dir", "--config-name", "--config-path")
SHOW = ("--cfg", "--resolve", "--package")
MODES = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")
"""Flags that exclude each other."""

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FLAGS: dict[str, Flag] = {
    "--help": Flag("-h"),
    "--hydra-help": Flag(),
    "--version": Flag("-V"),
    "--cfg": Flag("-c", "job", ("job", "hydra", "all")),
    "--resolve": Flag(),
    "--package": Flag("-p", "loss"),
    "--run": Flag("-r"),
    "--multirun": Flag("-m"),
    "--shell-completion": Flag("-sc"),
    "--config-path": Flag("-cp", "FOLDER"),
    "--config-name": Flag("-cn", "NAME"),
    "--config-dir": Flag("-cd", "FOLDER"),
    "--info": Flag("-i", "all", _INFO, optional=True),
    "--format": Flag("", "NAME"),
    "--probe": Flag(),
    "--traceback": Flag(),
}
_BY_SHORT = {flag.short: name for name, flag in FLAGS.items() if flag.short}


@dataclass(frozen=True)
class Words:
    """The words of a command line, in order.

    Attributes:
        flags: given flags by their long spelling; the value, None without one.
        rest: all other words.
    """

    flags: dict[str, str | None]
    rest: list[str]

    def as_arguments(self) -> list[str]:
        """Return the flags first, then the rest, as Hydra reads them."""
        flags = [name if value is None else f"{name}={value}" for name, value in self.flags.items()]
        end = ["--"] * any(one[:1] == "-" for one in self.rest)
        return [*flags, *end, *self.rest]


def split_words(words: Sequence[str]) -> Words:
    """Return flags and other words, in whatever order they were given.

    Raises:
        ConfigError: a flag is unknown, has no value or a wrong one.
    """
    flags: dict[str, str | None] = {}
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return Words(flags, [*rest, *waiting])
        if word[:1] != "-" or word == "-":
            rest.append(word)
            continue
        name, equals, given = word.partition("=")
        long = _BY_SHORT.get(name, name)
        if long not in FLAGS:
            raise ConfigError(unknown_flag(word, waiting))
        flags[long] = _value(long, name, given if equals else None, waiting)
    return Words(flags, rest)


def _value(long: str, name: str, given: str | None, waiting: list[str]) -> str | None:
    """Return the value of a flag, taken from the following words if not given with `=`."""
    flag = FLAGS[long]
    if not flag.takes:
        if given is not None:
            raise ConfigError(f"{name}={given}: {name} takes no value; write {name} alone")
        return None
    takes_next = bool(waiting) and waiting[0][:1] != "-"
    if given is None and takes_next and not (flag.optional and "=" in waiting[0]):
        given = waiting.pop(0)
    if given is None and flag.optional:
        return None
    listed = f"one of {', '.join(flag.values)}"
    if not given:
        allowed = f", {listed}" if flag.values else ""
        raise ConfigError(f"{name}: expected one argument{allowed}; write {name} {flag.takes}")
    if flag.values and given not in flag.values:
        hint = near_miss(given, flag.values) or f"; write {name} {flag.takes}"
        raise ConfigError(f"{name} {given}: must be {listed}{hint}")
    return given


def unknown_flag(word: str, after: Sequence[str] = ()) -> str:
    """Return the error for an unknown flag: the nearest one, or how a setting is written."""
    name, equals, value = word.partition("=")
    bare = name.lstrip("-")
    if "." in bare or equals:
        value = value if equals else next(iter(after), "...")
        return f"{word}: settings have no dashes; write {bare}={value}"
    close = near_miss(name, [*FLAGS, *_BY_SHORT]) if len(bare) > 1 else ""
    return f"{word}: unknown option{close or '; kdrun --help lists options and settings'}"


def check_modes(words: Words) -> None:
    """Refuse flags of Hydra that exclude or need each other.

    Raises:
        ConfigError: they cannot be used together.
    """
    given = [name for name in MODES if name in words.flags]
    if len(given) > 1:
        raise ConfigError(
            f"{given[0]} and {given[1]}: only one of {', '.join(MODES)} at a time; "
            f"leave out {given[0]}"
        )
    for name in ("--resolve", "--package"):
        if name in words.flags and "--cfg" not in words.flags:
            raise ConfigError(f"{name}: belongs to --cfg; write kdrun --cfg job {name} ...")
    if "--shell-completion" in words.flags:
        _check_completion(words.rest)


def _check_completion(rest: Sequence[str]) -> None:
    shells = ("bash", "zsh", "fish")
    key, _, shell = rest[0].partition("=") if rest else ("", "", "")
    if len(rest) != 1 or key not in ("install", "uninstall", "query") or shell not in shells:
        given = " ".join(rest) or "nothing"
        raise ConfigError(
            f"--shell-completion: takes install=SHELL or uninstall=SHELL with {', '.join(shells)}, "
            f'not {given}; write eval "$(kdrun --shell-completion install=bash)"'
        )


def allow_flags(words: Words, command: str, allowed: Sequence[str]) -> None:
    """Refuse flags that a command does not read.

    Raises:
        ConfigError: a flag is not allowed.
    """
    for name in words.flags:
        if name not in allowed:
            known = f"it takes {', '.join(allowed)}" if allowed else "it takes no options"
            raise ConfigError(f"{name}: not for kdrun {command}; leave it out ({known})")
