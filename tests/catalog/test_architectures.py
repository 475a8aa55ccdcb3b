"""Rows of architectures, and their families."""

import inspect
import subprocess
import sys

import pytest
import torchvision

from kdrun.catalog.architectures import ARCHITECTURES, OWN_NETS, family_of
from kdrun.catalog.torchvision_nets import TORCHVISION_ALONE, TORCHVISION_FAMILIES

TORCHVISION = [
    *TORCHVISION_ALONE,
    *(name for names in TORCHVISION_FAMILIES.values() for name in names),
]


def test_torchvision_s_names_are_the_library_s_own_but_the_one_that_is_shadowed():
    library = torchvision.models.list_models(module=torchvision.models)
    assert sorted([*TORCHVISION, "vgg13"]) == library
    assert set(library) & set(OWN_NETS) == {"vgg13"}


def test_architectures_are_the_sorted_union():
    assert list(ARCHITECTURES) == sorted({*OWN_NETS, *TORCHVISION})
    assert len(ARCHITECTURES) == len(OWN_NETS) + len(TORCHVISION)


@pytest.mark.parametrize("name", OWN_NETS)
def test_the_code_of_an_own_net_takes_what_its_row_gives_and_leaves_free(name):
    row = OWN_NETS[name]
    taken = inspect.signature(row.load()).parameters
    sized = {"image_size"} if row.image_size else set()
    # What a row fixes here may be a default there, as the usual widths of a ResNet.
    given = {"num_classes", "in_channels", *sized, *row.arguments, *row.sizes}
    left = {key for key, one in taken.items() if one.default is one.empty} - given
    assert (given - {*taken}, left) == (set(), set())
    assert {"width", "depth"} & {*taken} == {*row.sizes} | ({"depth"} & {*row.arguments})


def test_a_family_does_not_hold_the_architecture_itself():
    assert set(family_of("resnet34")) == {"resnet18", "resnet50", "resnet101", "resnet152"}
    assert family_of("resnet32x4") == ("resnet8x4",)
    assert family_of("mlp") == family_of("alexnet") == family_of("no such model") == ()


def test_a_family_is_listed_from_small_to_large():
    assert family_of("resnet110") == (
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
    )
    assert family_of("vgg16") == ("vgg11", "vgg19")


def test_names_import_without_torch():
    program = "import sys, kdrun.catalog.architectures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
