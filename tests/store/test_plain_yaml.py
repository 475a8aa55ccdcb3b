"""YAML of strangers: what grows, refers to itself or is too much is refused at once."""

import time

import pytest
import yaml

from kdrun.errors import ConfigError, DamagedError
from kdrun.store.files import read_yaml
from kdrun.store.plain_yaml import DEEPEST, LARGEST, MOST, load_plain
from kdrun.store.saved_config import saved_config


def bomb() -> str:
    """Ten lines that stand for ten to the ninth values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 10):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (bomb(), "anchor or alias"),
        ("a: &x 1", "anchor or alias"),
        ("a: &x [*x]", "anchor or alias"),
        ("[" * 100_000, "(deep|flow level)"),
        ("a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "deep"),
        ("[" + "1," * MOST + "]", "values"),
        ("#" * (LARGEST + 1), "bytes"),
        ("!!python/object/apply:os.system ['touch ran']", "constructor"),
    ],
    ids=["bomb", "anchor", "itself", "unclosed", "deep", "many", "long", "code"],
)
def test_what_kdrun_never_writes_is_refused_at_once(tmp_path, content, told):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    began = time.monotonic()
    with pytest.raises(DamagedError, match=rf"config\.yaml is damaged: .*{told}"):
        read_yaml(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("content", ["", "a: [1, 2.5, null, true, 'x*y&z']", "- 1\n- {b: c}"])
def test_plain_yaml_is_read_as_by_the_library(content):
    assert load_plain(content.encode()) == yaml.safe_load(content)


@pytest.mark.parametrize(
    "content",
    [
        "dataset: {root: '${oc.env:HOME}'}",
        'dataset: {root: "\\x24{oc.env:HOME}"}',
        'dataset: {root: "\\u0024\\x7boc.env:HOME}"}',
        "dataset: {'${oc.env:HOME}': 1}",
        "seeds: [1, ['${oc.env:HOME}']]",
    ],
)
def test_a_reference_is_noticed_however_it_is_written(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"holds \$\{...\}, which a saved config never does"):
        saved_config(path)
