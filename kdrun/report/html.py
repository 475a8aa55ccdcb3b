"""HTML pages from templates. Imports no torch."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kdrun import __version__
from kdrun.escaping import printable_page


def render(template: str, content: dict[str, Any]) -> str:
    """Render a template, escaping all values and removing control characters."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(version=__version__, **content)
    return printable_page(page)


def weights_words(validation: Iterable[float | None]) -> str:
    """Description of the tested weights, from the best validation accuracies."""
    held_out = any(one is not None for one in validation)
    return "that were best on validation" if held_out else "of the last epoch"
