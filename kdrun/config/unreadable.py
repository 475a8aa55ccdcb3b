"""Diagnosis of words of the command line that are not readable as `key=value`."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from kdrun.config.parse import keys
from kdrun.config.path_overrides import example, is_path
from kdrun.config.paths import shipped_groups
from kdrun.errors import ConfigError, near_miss, reason

KEY = re.compile(r"[+~]{0,2}[A-Za-z_$][\w$-]*([./@:][\w$-]+)*", re.ASCII)
"""Format of a key, with Hydra's prefixes."""

SECOND = re.compile(r"[\s,;]+(?=[A-Za-z_][\w./]*=)")
"""Start of a second setting within one word."""

PAIRS = {"[": "]", "{": "}", "(": ")"}


def read_words(words: Sequence[str]) -> list[Override]:
    """Return the words as Hydra's overrides.

    Raises:
        ConfigError: one line per word that cannot be read.
    """
    parser = OverridesParser.create()
    found: list[Override] = []
    faults: list[str] = []
    for place, word in enumerate(words):
        if "=" not in word and word[:1] != "~":
            # The words around it belong to the same mistake.
            fault = on_one_line(not_a_setting(words, place))
            raise ConfigError("\n".join([*faults, fault]))
        try:
            found.append(parser.parse_override(word))
        except HydraException as error:
            faults.append(unreadable(word, error))
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def not_a_setting(words: Sequence[str], place: int) -> str:
    """Return the error for a word without `=`, from the words around it.

    Args:
        words: words of the command line that are not flags.
        place: number of the word.
    """
    word = words[place]
    if not word.strip():
        return f"'{word}': an empty word, perhaps of an empty variable; write key=value"
    if fault := _spaced(words, place) or _without_equals(words, place):
        return fault
    if os.path.isdir(word):
        return f"{word}: a folder, not a setting; 'kdrun resume {word}' continues a run or sweep"
    hint = near_miss(word, known_names())
    return f"'{word}': not a setting; write key=value{hint or ' (kdrun --help lists the keys)'}"


def _spaced(words: Sequence[str], place: int) -> str | None:
    """Diagnose spaces around `=`: `loss.T = 4`, `loss.T= 4` or `loss.T =4`."""
    word, after = words[place], [*words[place + 1 :], ""][0]
    if place and words[place - 1].endswith("=") and words[place - 1] != "=":
        return f"{words[place - 1]} {word}: has a space; write {words[place - 1]}{word}"
    if after[:1] != "=":
        return None
    given = [word, *words[place + 1 : place + (3 if after == "=" else 2)]]
    joined = "".join(given)
    return f"{' '.join(given)}: has a space; write {joined}{'...' * joined.endswith('=')}"


def _without_equals(words: Sequence[str], place: int) -> str | None:
    """Diagnose another sign or none in place of `=`: `loss.T:4`, `loss.T 4`."""
    word, after = words[place], [*words[place + 1 :], ""][0]
    name, colon, value = word.partition(":")
    if colon and name in known_names():
        return f"{word}: settings have an equals sign; write {name}={value}"
    if word not in known_names():
        return None
    plain = after and "=" not in after
    given = f"{word} {after}" if plain else word
    return f"{given}: has no equals sign; write {word}={after if plain else '...'}"


def known_names() -> list[str]:
    """Return all groups, sections and keys of a config."""
    found = dict.fromkeys([*shipped_groups(), *keys()])
    return list(found | dict.fromkeys(key.rpartition(".")[0] for key in keys() if "." in key))


def unreadable(word: str, error: HydraException) -> str:
    """Return the error for a `key=value` that Hydra cannot read, with what to write instead."""
    key, _, value = word.partition("=")
    found = (find(key, value, error) for find in DIAGNOSES)
    quoted = f"cannot be read; put the value in quotes: {example(key, value)}"
    fault = next(filter(None, found), quoted)
    return on_one_line(f"{word}: {fault}")


def on_one_line(text: str) -> str:
    """Return a message without the line breaks of the words in it."""
    return " ".join(text.split())


def _spaces(key: str, value: str, error: HydraException) -> str | None:
    if key == key.strip():
        return None
    return f"has spaces around '='; write {key.strip()}={value.strip()}"


def _malformed_key(key: str, value: str, error: HydraException) -> str | None:
    if KEY.fullmatch(key):
        return None
    likely = re.sub(r"\W+", ".", key, flags=re.ASCII).strip(".")
    hint = near_miss(likely, known_names())
    odd = next((sign for sign in key if not sign.isascii()), None)
    if odd is not None:
        return f"'{odd}' is in no key{hint or '; kdrun --help lists the keys'}"
    return f"'{key}' is no key{hint or '; write section.name=value'}"


def _two_settings(key: str, value: str, error: HydraException) -> str | None:
    begin = SECOND.search(value)
    if begin is None:
        return None
    return (
        f"two settings in one pair of quotes; quote each by itself: "
        f"'{key}={value[: begin.start()]}' '{value[begin.end() :]}'"
    )


def _two_equals(key: str, value: str, error: HydraException) -> str | None:
    return f"write one '=': {key}={value.lstrip('=')}" if value[:1] == "=" else None


def _function(key: str, value: str, error: HydraException) -> str | None:
    """Diagnose Hydra's functions, such as `range(1,a)`."""
    if " while evaluating " not in reason(error):
        return None
    name, cause = value.partition("(")[0], reason(error).partition(": ")[2]
    known = ("choice", "glob", "interval", "range", "shuffle", "sort")
    hint = near_miss(name, known) if cause.startswith("Unknown function") else ""
    return f"{cause}{hint or f'; list the values, as in {key}=1,4'}"


def _quotes(key: str, value: str, error: HydraException) -> str | None:
    odd = next((sign for sign in "\"'" if value.count(sign) % 2), None)
    if odd is None:
        return None
    bare = value.replace(odd, "")
    return f"the quote {odd} is not closed; write {key}={bare}"


def _brackets(key: str, value: str, error: HydraException) -> str | None:
    open_ones: list[str] = []
    for place, sign in enumerate(value):
        if sign in PAIRS:
            open_ones.append(sign)
        elif sign in PAIRS.values() and (not open_ones or PAIRS[open_ones.pop()] != sign):
            rest = value[:place] + value[place + 1 :]
            return f"'{sign}' closes nothing; write {key}={rest or 'VALUE'}"
    if not open_ones:
        return None
    closing = "".join(PAIRS[sign] for sign in reversed(open_ones))
    return f"'{open_ones[-1]}' is not closed; write '{key}={value}{closing}'"


def _commas(key: str, value: str, error: HydraException) -> str | None:
    items = value.strip("[]").split(",")
    if all(one.strip() for one in items):
        return None
    kept = ",".join(one for one in items if one.strip())
    inner = f"[{kept}]" if value[:1] == "[" else kept
    return f"a comma without a value; write {key}={inner}"


def _round_list(key: str, value: str, error: HydraException) -> str | None:
    if not re.fullmatch(r"\(.*\)", value):
        return None
    return f"lists have square brackets; write {key}=[{value[1:-1]}]"


def _after_brackets(key: str, value: str, error: HydraException) -> str | None:
    if value[:1] != "[" or value[-1:] == "]":
        return None
    return f"has text after ']'; write {key}={value[: value.rindex(']') + 1]}"


def _odd_sign(key: str, value: str, error: HydraException) -> str | None:
    """Diagnose a character that Hydra reads only within quotes."""
    found = re.match(r"token recognition error at: '(.)", reason(error))
    if found is None:
        return None
    plain, sign = unicodedata.normalize("NFKC", value), found.group(1)
    if plain != value and plain.isascii():
        return f"'{sign}' is not an ASCII character; write {key}={plain}"
    if sign == ";":
        return f"values are separated by commas; write {key}={value.replace(';', ',')}"
    if sign == "~" and value[1:2] == "/":
        return f"'~' cannot be read here; write the folder in full: {key}=$HOME{value[1:]}"
    return f"'{sign}' needs quotes; write {example(key, value)}"


def _equals_within(key: str, value: str, error: HydraException) -> str | None:
    return f"'=' in a value needs quotes; write {example(key, value)}" if "=" in value else None


DIAGNOSES: tuple[Callable[[str, str, HydraException], str | None], ...] = (
    _spaces,
    _malformed_key,
    _two_settings,
    _two_equals,
    _function,
    _quotes,
    _brackets,
    _commas,
    _round_list,
    _after_brackets,
    _odd_sign,
    _equals_within,
)


def several_values(word: str, listed: Iterable[str]) -> str:
    """Return the error for several values outside a sweep.

    Args:
        word: override with the values.
        listed: keys that take a list.
    """
    key, _, value = word.partition("=")
    if key in listed:
        return f"{word}: {key} takes a list; write {key}=[{value}] (or -m to sweep over lists)"
    one = f"one value with a comma as {example(key, value)}" if is_path(key) else "one value"
    return f"{word}: several values are a sweep; write kdrun -m {word}, or give {one}"
