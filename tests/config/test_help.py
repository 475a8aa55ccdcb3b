import pytest
import yaml

from kdrun.catalog.terms import sections
from kdrun.cli.help import help_text
from kdrun.config.paths import config_folder


@pytest.mark.parametrize("columns", [60, 80, 97])
def test_the_help_fits_the_terminal_and_tells_the_same(monkeypatch, columns):
    whole = help_text()
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = help_text()
    assert max(len(line) for line in narrow.splitlines()) <= columns
    assert narrow.replace("#", " ").split() == whole.replace("#", " ").split()


@pytest.mark.parametrize("columns", ["60", "200"])
def test_the_settings_are_the_defaults_as_yaml(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    told = yaml.safe_load(help_text().partition("with their defaults:")[2])
    defaults = yaml.safe_load((config_folder() / "config.yaml").read_text())
    defaults["loss"] |= {
        section: {key: option.default for key, option in options.items()}
        for section, options in sections().items()
    }
    assert told == {key: value for key, value in defaults.items() if key in told}
    assert {"teacher", "loss", "train", "chain", "cache"} <= set(told)
