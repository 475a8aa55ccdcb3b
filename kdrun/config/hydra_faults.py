"""Hydra's own errors and warnings, each on one line with what to do."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kdrun.escaping import show


@contextmanager
def quiet_warnings() -> Iterator[None]:
    """Raise Hydra's warning of a search path that is missing; show other warnings on one line."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", r"provider=.* is not available", UserWarning)
        warnings.showwarning = lambda message, *where, **more: show(
            f"kdrun: {' '.join(str(message).split())}", file=sys.stderr
        )
        yield


def hydra_line(error: Exception) -> str:
    """Return an error of Hydra without a cause in kdrun's config on one line."""
    text = " ".join(str(error).split())
    for expression, line in _LINES.items():
        if found := re.search(expression, text):
            return line(found)
    return text


_LINES: dict[str, Callable[[re.Match[str]], str]] = {
    r"path=(.*) is not available": lambda found: (
        f"hydra.searchpath: '{found[1]}' is not a folder; give folders as file:///path"
    ),
    r"Additional config directory '(.*)' not found": lambda found: (
        f"--config-dir {found[1]}: no such folder; give the folder of your own YAML"
    ),
    r"config directory '(.*)' exists": lambda found: (
        f"--config-path {found[1]}: no such folder; --config-dir adds your own YAML to kdrun's"
    ),
    r"Cannot find primary config '(.*?)'": lambda found: (
        f"--config-name {found[1]}: no {found[1]}.yaml in the folder of --config-dir or in "
        "kdrun's configs; leave it out for kdrun's own"
    ),
    r"does not support sweep type : (\w+)_SWEEP": lambda found: (
        f"{found[1].lower()}(...): a range for hydra/sweeper=optuna; else list the values, "
        "as in loss.T=1,4"
    ),
    r"Could not override '(.*?)'\. No match": lambda found: (
        f"unknown group '{found[1]}'; write +{found[1]}=... for one of --config-dir"
    ),
    r"Could not append to config\. An item is already at '(.*?)'": lambda found: (
        f"+{found[1]}: exists already; write {found[1]}=... without +"
    ),
    r"Could not delete '(.*?)'": lambda found: f"~{found[1]}: nothing of this name; leave it out",
    r"Multiple values for (\S+?)\. To override": lambda found: (
        f"+{found[1]}: chosen already; write {found[1]}=... without +"
    ),
}
