import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdrun.errors import WeightsError
from kdrun.models.build import build_model
from kdrun.models.weights.given import load_given
from kdrun.models.weights.state_dict import apply_state, load_state

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def net(arch="resnet8", num_classes=10, seed=0):
    torch.manual_seed(seed)
    return build_model(arch, num_classes=num_classes).eval()


def loaded(path, arch="resnet8"):
    model = net(arch, seed=1)
    load_given(model, path, source=path.name)
    return model


def test_safetensors_load(tmp_path):
    model = net()
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    torch.testing.assert_close(loaded(path)(IMAGES), model(IMAGES), rtol=0, atol=0)


def test_half_precision_weights_load_into_a_float32_model(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({name: t.half() for name, t in net().state_dict().items()}, path)
    model = loaded(path)
    assert model.fc.weight.dtype == torch.float32
    assert torch.equal(model.fc.weight, net().fc.weight.half().float())


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        3,
        torch.zeros(3),
        {"state_dict": {}},
        {"epoch": 3},
        {"model": None},
        {"weight": torch.zeros(2), "epoch": 3},
    ],
    ids=str,
)
def test_a_file_without_a_state_dict_says_how_to_save_one(tmp_path, content):
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"holds no state dict: save one with torch\.save"):
        load_state(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_name_their_tensor(tmp_path, value):
    state = net().state_dict()
    state["layer2.0.bn1.running_var"][3] = value
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"non-finite values in layer2\.0\.bn1\.running_var"):
        load_state(path)


def refused(model, state, **options):
    """The message that the state is refused with; the model must not be touched."""
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(WeightsError) as caught:
        apply_state(model, state, source="teacher.pt", **options)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_and_unexpected_names_are_counted_and_the_first_named():
    state = net(seed=1).state_dict()
    for name in ("bn1.weight", "bn1.bias", "bn1.running_mean", "conv1.weight"):
        state[f"x.{name}"] = state.pop(name)
    message = refused(net(), state)
    assert message.startswith("teacher.pt does not fit the model: ")
    assert "4 missing (conv1.weight, bn1.weight, bn1.bias, ...)" in message
    assert "4 unexpected (x.bn1.weight, x.bn1.bias, x.bn1.running_mean, ...)" in message


def test_other_shapes_are_named_with_both():
    state = net(seed=1).state_dict()
    state["conv1.weight"] = torch.zeros(16, 3, 7, 7)
    message = refused(net(), state)
    assert "1 of another shape (conv1.weight is 16x3x7x7, not 16x3x3x3)" in message


@pytest.mark.parametrize("arch", ["resnet8", "squeezenet1_1", "mobilenet_v2"])
def test_a_head_for_other_classes_is_named_as_such(arch):
    message = refused(net(arch), net(arch, num_classes=100).state_dict())
    assert message.startswith("teacher.pt has a head for 100 classes, the data set has 10 (")


def test_another_architecture_is_not_mistaken_for_another_head():
    message = refused(net("resnet8"), net("resnet8x4", num_classes=100).state_dict())
    assert "teacher.pt does not fit the model" in message


def test_batch_counters_may_be_missing():
    model, other = net(seed=0), net(seed=1)
    state = {k: v for k, v in other.state_dict().items() if "num_batches_tracked" not in k}
    apply_state(model, state, source="old.pt")
    torch.testing.assert_close(model(IMAGES), other(IMAGES), rtol=0, atol=0)


def test_applying_keeps_parameters_trainable_and_the_state_apart():
    model, state = net(seed=0), net(seed=1).state_dict()
    parameter = model.conv1.weight
    apply_state(model, state, source="teacher.pt")
    assert model.conv1.weight is parameter
    assert isinstance(parameter, nn.Parameter)
    assert parameter.requires_grad
    nn.init.zeros_(parameter)
    assert state["conv1.weight"].any()
