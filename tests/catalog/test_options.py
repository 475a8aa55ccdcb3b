"""Options that rows of the catalog declare."""

from dataclasses import asdict

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ValidationError

from kdrun.catalog.options import (
    flag,
    make_section,
    name,
    names,
    nullable,
    option_lines,
    real,
    whole,
    word,
)

OPTIONS = {
    "weight": nullable(real(0.0, "0: off", 0, 10)),
    "power": real(None, "null: the model's", 0, 1),
    "steps": whole(3, "how many", 1, 9),
    "kind": word("mse", "mse or kl", "mse", "kl"),
    "both": flag(True, "both sides"),
    "layer": name(None, "a pair"),
    "layers": names("pairs"),
}


@pytest.fixture
def section():
    return OmegaConf.structured(make_section("Section", OPTIONS, "A section."))


def test_a_section_holds_the_defaults_of_its_options(section):
    assert OmegaConf.to_container(section) == {
        **{"weight": 0.0, "power": None, "steps": 3, "kind": "mse", "both": True},
        **{"layer": None, "layers": []},
    }


def test_a_section_is_as_strict_as_one_written_by_hand(section):
    with pytest.raises(ConfigAttributeError):
        section.weigth = 1.0
    with pytest.raises(ValidationError):
        section.weight = "abc"
    with pytest.raises(ValidationError):
        section.steps = None
    section.weight = None


def test_a_section_comes_back_from_yaml_equal(section):
    section.layers = ["a:b"]
    again = OmegaConf.merge(section, OmegaConf.create(OmegaConf.to_yaml(section)))
    assert OmegaConf.to_object(again) == OmegaConf.to_object(section)


def test_two_sections_share_no_list():
    made = make_section("Section", OPTIONS, "A section.")
    one, other = made(), made()
    one.layers.append("a:b")
    assert asdict(other)["layers"] == []


def test_lines_of_help_align_their_explanations():
    lines = option_lines(OPTIONS, 4)
    assert lines[0] == "    weight: 0.0           # 0: off"
    assert len({line.index("#") for line in lines}) == 1
    assert "    both: true" in lines[4]
    assert "    layer: null" in lines[5]
