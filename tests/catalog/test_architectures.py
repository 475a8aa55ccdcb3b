import subprocess
import sys

import torchvision

from kdrun.catalog.architectures import ARCHITECTURES, CIFAR_NETS, SMALL_NETS, TORCHVISION


def test_torchvision_names_are_the_library_s_own():
    assert list(TORCHVISION) == torchvision.models.list_models(module=torchvision.models)


def test_architectures_are_the_sorted_union():
    assert set(ARCHITECTURES) == {*CIFAR_NETS, *SMALL_NETS, *TORCHVISION}
    assert list(ARCHITECTURES) == sorted(set(ARCHITECTURES))


def test_only_vgg13_shadows_a_torchvision_name():
    assert set(TORCHVISION) & {*CIFAR_NETS, *SMALL_NETS} == {"vgg13"}


def test_names_import_without_torch():
    program = "import sys, kdrun.catalog.architectures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
