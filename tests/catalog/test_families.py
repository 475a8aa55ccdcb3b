"""Families of architectures."""

from collections import Counter

from kdrun.catalog.architectures import ALONE, ARCHITECTURES, FAMILIES, family_of


def test_every_architecture_is_in_one_family_or_alone():
    placed = Counter([*ALONE, *(arch for names in FAMILIES.values() for arch in names)])
    assert placed == Counter(ARCHITECTURES)


def test_a_family_does_not_hold_the_architecture_itself():
    assert set(family_of("resnet34")) == {"resnet18", "resnet50", "resnet101", "resnet152"}
    assert family_of("mlp") == family_of("no such model") == ()
