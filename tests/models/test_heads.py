import pytest
import torch

from kdrun.catalog.architectures import OWN_NETS
from kdrun.models.build import build_model
from kdrun.models.heads import head_classes, head_path, replace_head

pytestmark = pytest.mark.usefixtures("unchecked_size")

HEADS = {
    "resnet18": "fc",
    "regnet_y_400mf": "fc",
    "shufflenet_v2_x0_5": "fc",
    "densenet121": "classifier",
    "maxvit_t": "classifier.5",
    "alexnet": "classifier.6",
    "vgg11_bn": "classifier.6",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "mnasnet0_5": "classifier.1",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "squeezenet1_1": "classifier.1",
    "vit_b_32": "heads.head",
    "swin_t": "head",
    "swin_v2_t": "head",
}


@pytest.mark.parametrize(("arch", "path"), HEADS.items())
def test_the_head_of_every_torchvision_family_is_found_and_replaced(arch, path):
    with torch.device("meta"):
        model = build_model(arch, num_classes=1000, image_size=224)
        assert (head_path(model), head_classes(model)) == (path, 1000)
        replace_head(model, 7)
        assert head_classes(model) == 7
        assert model.eval()(torch.empty(2, 3, 224, 224)).shape == (2, 7)


@pytest.mark.parametrize("arch", list(OWN_NETS))
def test_own_nets_end_in_fc(arch):
    with torch.device("meta"):
        assert head_path(build_model(arch, num_classes=10)) == "fc"


def test_a_new_head_is_drawn_afresh_and_the_body_stays():
    model = build_model("resnet8", num_classes=10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    replace_head(model, 10)
    changed = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
