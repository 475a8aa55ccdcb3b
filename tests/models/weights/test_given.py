"""Checkpoints as the field's training codes write them: which tensors are used."""

import argparse
import collections
import pathlib
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models import get_model

from kdrun.errors import WeightsError
from kdrun.models.build import build_model
from kdrun.models.timm_models import timm_conversion
from kdrun.models.weights.given import Adaptation, load_given


def net(arch="resnet8", num_classes=10, seed=0, **options):
    torch.manual_seed(seed)
    return build_model(arch, num_classes=num_classes, **options).eval()


STATE, EMA = net().state_dict(), net(seed=3).state_dict()
HUNDRED = net(num_classes=100, seed=4).state_dict()
OPTIMIZER = torch.optim.SGD([nn.Parameter(torch.zeros(3))], 0.1, momentum=0.9).state_dict()
OPTIMIZER["state"] = {0: {"momentum_buffer": torch.ones(3)}}


def prefixed(prefix, state=STATE):
    return {prefix + name: tensor for name, tensor in state.items()}


class Hyperparameters(dict):
    """As Lightning's AttributeDict."""


LAYOUTS = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE},
    "torchvision": {
        "model": STATE,
        "optimizer": OPTIMIZER,
        "lr_scheduler": {"last_epoch": 4},
        "epoch": 5,
        "args": argparse.Namespace(lr=0.1, output_dir=pathlib.Path("out"), weights=None),
        "model_ema": prefixed("module.", EMA) | {"n_averaged": torch.tensor(3)},
        "scaler": {},
    },
    "timm": {
        "epoch": 3,
        "arch": "resnet8",
        "state_dict": STATE,
        "state_dict_ema": EMA,
        "optimizer": OPTIMIZER,
        "version": 2,
        "args": argparse.Namespace(model="resnet8", mean=None),
        "metric": np.float64(71.5),
    },
    "RepDistiller": {
        "epoch": 240,
        "accuracy": torch.tensor(70.1),
        "best_acc": np.float32(70.2),
        "model": STATE,
        "optimizer": OPTIMIZER,
    },
    "RepDistiller teacher": {"epoch": 240, "model": STATE, "best_acc": torch.tensor(72.0)},
    "Lightning": {
        "epoch": 1,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed("net.") | {"criterion.weight": torch.ones(10)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.7)}},
        "optimizer_states": [OPTIMIZER],
        "hparams_name": "kwargs",
        "hyper_parameters": Hyperparameters(lr=0.1, root=pathlib.Path("data")),
    },
    "Lightning of model": {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 0.1}},
    "kuangliu": {"net": prefixed("module."), "acc": 93.02, "epoch": 199},
    "weiaicunzai": collections.OrderedDict(STATE),
    "mdistiller": {
        "epoch": 240,
        "model": prefixed("module."),
        "optimizer": OPTIMIZER,
        "best_acc": 0.72,
    },
    "torchdistill": {
        "model": STATE,
        "optimizer": OPTIMIZER,
        "best_value": torch.tensor(0.7),
        "config": {"models": {"teacher_model": {"key": "resnet8"}}},
        "args": argparse.Namespace(run_log="log"),
    },
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "DDP of compile": prefixed("module._orig_mod."),
    "AveragedModel": AveragedModel(net()).state_dict(),
    "network": {"network": STATE},
    "model is a name": {"model": "resnet18", "net": STATE},
    "with an epoch": {**STATE, "epoch": 5, "best_acc": 0.7, "step": torch.tensor(3)},
    "teacher of other classes": {"teacher": HUNDRED, "student": STATE},
    "backbone and other heads": prefixed("backbone.")
    | {"projector.0.weight": torch.ones(4, 4), "aux.bias": torch.ones(2)},
    "FSDP": {f"_fsdp_wrapped_module.{name}": tensor for name, tensor in STATE.items()},
    "module inside names": {
        f"encoder.{name.replace('layer1.', 'layer1._fsdp_wrapped_module.')}": tensor
        for name, tensor in STATE.items()
    },
    "encoder.module": prefixed("encoder.module."),
    "two levels": {"state": {"model": {"state_dict": STATE}}, "step": 1},
    "the same twice": {"last": STATE, "best": {k: v.clone() for k, v in STATE.items()}},
    "a list": {"models": [STATE]},
    "parameters": {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in STATE.items()},
    "none beside": {"student": STATE, "teacher": None},
}


def loaded(path, **options):
    model = net(seed=9)
    line = load_given(model, path, source=path.name, **options)
    return model, line


def saved(folder, content, *, legacy=False):
    path = folder / "checkpoint.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def same(model, state):
    own = model.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[k], v) for k, v in state.items())


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_layout_loads_with_every_tensor(tmp_path, name, legacy):
    model, line = loaded(saved(tmp_path, LAYOUTS[name], legacy=legacy))
    assert same(model, STATE)
    assert "\n" not in (line or "")


def test_files_without_checksums_load(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path, {"model": STATE})
    finally:
        torch.serialization.set_crc32_options(True)
    assert zipfile.ZipFile(path).testzip() is not None
    assert same(loaded(path)[0], STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(tmp_path, dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in STATE.items()}
    model, _ = loaded(saved(tmp_path, {"model": state}))
    assert same(model, {k: v.to(STATE[k].dtype) for k, v in state.items()})


def test_safetensors_with_metadata_load(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(prefixed("model."), path, metadata={"format": "pt"})
    assert same(loaded(path)[0], STATE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain", None),
        ("network", "56 tensors under 'network' are used"),
        ("kuangliu", "stripped 'module.' from all names; 56 tensors under 'net' are used"),
        (
            "Lightning",
            "stripped 'net.' from all names; 56 tensors under 'state_dict' are used; 1 other",
        ),
        ("timm", "under 'state_dict' are used; 'state_dict_ema' fits as well"),
        ("torchvision", "set weights_key=model_ema to use it"),
    ],
)
def test_a_line_says_what_is_used(tmp_path, name, words):
    _, line = loaded(saved(tmp_path, LAYOUTS[name]))
    assert line is words if words is None else words in line


@pytest.mark.parametrize(
    ("name", "key"), [("timm", "state_dict_ema"), ("torchvision", "model_ema")]
)
def test_a_key_chooses_averaged_weights(tmp_path, name, key):
    model, line = loaded(saved(tmp_path, LAYOUTS[name]), key=key)
    assert same(model, EMA)
    assert "fits as well" not in line


def test_of_several_that_fit_one_is_to_be_chosen(tmp_path):
    path = saved(tmp_path, {"teacher": STATE, "student": EMA})
    with pytest.raises(WeightsError, match=r"several .* \(teacher, student\): choose one by weigh"):
        loaded(path)
    assert same(loaded(path, key="student")[0], EMA)


@pytest.mark.parametrize("key", ["encoder_q", "module.encoder_q", "state_dict.encoder_q"])
def test_a_key_may_be_a_prefix_of_names(tmp_path, key):
    both = prefixed("module.encoder_q.") | prefixed("module.encoder_k.", EMA)
    path = saved(tmp_path, {"state_dict": both | {"module.queue": torch.ones(3, 3)}})
    with pytest.raises(WeightsError, match=r"several .*state_dict\.encoder_q"):
        loaded(path)
    assert same(loaded(path, key=key)[0], STATE)


def test_a_key_without_tensors_lists_those_there_are(tmp_path):
    path = saved(tmp_path, LAYOUTS["timm"])
    with pytest.raises(WeightsError) as caught:
        loaded(path, key="ema")
    assert "no tensors under weights_key=ema: there are state_dict (56 tensors)" in str(
        caught.value
    )


def test_what_does_not_fit_lists_the_keys_with_their_tensors(tmp_path):
    other = net("resnet8x4").state_dict()
    path = saved(
        tmp_path, {"model": other, "optimizer": OPTIMIZER, "ema": HUNDRED | {"x.y": EMA["fc.bias"]}}
    )
    with pytest.raises(WeightsError) as caught:
        loaded(path)
    message = str(caught.value)
    assert "model (62 tensors), ema (57 tensors), optimizer.state.0 (1 tensor)" in message
    assert "\n" not in message


def test_a_deeper_network_is_not_mistaken_for_its_beginning(tmp_path):
    path = saved(tmp_path, net("resnet14").state_dict())
    with pytest.raises(WeightsError, match=r"36 unexpected \(layer1\.1\.conv1\.weight"):
        loaded(path)


@pytest.mark.parametrize(
    ("model", "words"),
    [(net(), "CifarResNet, a whole"), ({"model": net()}, "CifarResNet, a whole")],
)
def test_a_whole_model_is_refused_with_the_way_to_save_a_state_dict(tmp_path, model, words):
    with pytest.raises(WeightsError, match=words) as caught:
        loaded(saved(tmp_path, model))
    assert "torch.save(model.state_dict(), path)" in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3, "args": None}, {"model": "resnet18"}])
def test_a_file_without_tensors_names_its_keys(tmp_path, content):
    with pytest.raises(WeightsError, match="holds no state dict: save one") as caught:
        loaded(saved(tmp_path, content))
    assert all(key in str(caught.value) for key in content)


WEIGHT = "layer1.0.conv1.weight"
ODD = {
    "sparse": (lambda t: t.to_sparse(), "a sparse tensor"),
    "csr": (lambda t: t.flatten(1).to_sparse_csr(), "a sparse tensor"),
    "meta": (lambda t: t.to("meta"), "a tensor on the meta device, without values"),
    "complex": (lambda t: t.to(torch.complex64), "is of complex64, not of floating-point"),
    "bool": (lambda t: t > 0, "is of bool, not of floating-point"),
    "int8": (lambda t: (t * 100).to(torch.int8), "is of int8, not of floating-point"),
    "quantised": (
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        "a quantised tensor",
    ),
    "per channel": (
        lambda t: torch.quantize_per_channel(t, torch.ones(16), torch.zeros(16), 0, torch.qint8),
        "a quantised tensor",
    ),
    "nested": (lambda t: torch.nested.nested_tensor([t, t[:3]]), "a nested tensor"),
    "jagged": (
        lambda t: torch.nested.nested_tensor([t[0, 0], t[0, 1]], layout=torch.jagged),
        "a nested tensor",
    ),
    "list": (lambda t: t.tolist(), "is of type list"),
    "array": (lambda t: t.numpy(), "an object of numpy"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD)
def test_odd_tensors_are_named_in_one_line(tmp_path, name):
    make, words = ODD[name]
    path = saved(tmp_path, {"model": STATE | {WEIGHT: make(STATE[WEIGHT])}})
    model = net(seed=9)
    with pytest.raises(WeightsError) as caught:
        load_given(model, path, source="odd.pt")
    message = str(caught.value)
    assert message.startswith(f"odd.pt: {WEIGHT} ")
    assert words in message
    assert "\n" not in message
    assert same(model, net(seed=9).state_dict())


def test_eight_bit_floating_point_weights_are_converted(tmp_path):
    small = STATE[WEIGHT].to(torch.float8_e4m3fn)
    model, _ = loaded(saved(tmp_path, STATE | {WEIGHT: small}))
    assert torch.equal(model.state_dict()[WEIGHT], small.float())


def test_tensors_that_share_values_or_are_views_load(tmp_path):
    big = torch.randn(32, 32, 3, 3)
    state = STATE | {WEIGHT: big[::2, 8:24].transpose(0, 1), "conv1.weight": STATE["conv1.weight"]}
    for legacy in (False, True):
        model, _ = loaded(saved(tmp_path, state, legacy=legacy))
        assert same(model, state)


BODY = {name: tensor for name, tensor in STATE.items() if not name.startswith("fc.")}


@pytest.mark.parametrize(("state", "theirs"), [(HUNDRED, "for 100 classes"), (BODY, "missing")])
def test_a_start_for_other_classes_keeps_the_model_s_own_head(tmp_path, state, theirs):
    path = saved(tmp_path, {"model": state})
    model, line = loaded(path, adaptation=Adaptation(new_head=True))
    assert f"its head is {theirs}, so a new one for 10 is trained" in line
    assert torch.equal(model.fc.weight, net(seed=9).fc.weight)
    assert torch.equal(model.fc.bias, net(seed=9).fc.bias)
    assert all(torch.equal(model.state_dict()[k], state[k]) for k in BODY)


def test_a_teacher_s_head_for_other_classes_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="head for 100 classes, the data set has 10"):
        loaded(saved(tmp_path, {"model": HUNDRED}))


def test_another_network_is_no_start(tmp_path):
    path = saved(tmp_path, net("resnet8x4", num_classes=100).state_dict())
    with pytest.raises(WeightsError, match="does not fit the model"):
        loaded(path, adaptation=Adaptation(new_head=True))


def published_file(folder, arch, randomize_batchnorm, **options):
    torch.manual_seed(0)
    model = get_model(arch, **options).eval()
    randomize_batchnorm(model)
    return model, saved(folder, model.state_dict())


@pytest.mark.usefixtures("unchecked_size")
@pytest.mark.parametrize("arch", ["googlenet", "inception_v3"])
def test_torchvision_files_with_auxiliary_heads_load_by_path(tmp_path, arch, randomize_batchnorm):
    original, path = published_file(
        tmp_path, arch, randomize_batchnorm, aux_logits=True, init_weights=False,
        transform_input=True,
    )  # fmt: skip
    model = build_model(arch, num_classes=1000, image_size=128).eval()
    line = load_given(model, path, source=path.name)
    assert "other" in line
    images = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(model(images), original(images), rtol=0, atol=0)


@pytest.mark.usefixtures("unchecked_size")
def test_old_spelling_of_dense_layers_loads_by_path(tmp_path, randomize_batchnorm):
    original, _ = published_file(tmp_path, "densenet121", randomize_batchnorm)
    old = {}
    for name, tensor in original.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")  # noqa: PLW2901
        if "num_batches_tracked" not in name:
            old[name] = tensor
    model = build_model("densenet121", num_classes=1000, image_size=96).eval()
    load_given(model, saved(tmp_path, {"state_dict": prefixed("module.", old)}), source="d")
    images = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(model(images), original(images), rtol=0, atol=0)


@pytest.mark.usefixtures("unchecked_size")
@pytest.mark.parametrize(("size", "channels"), [(32, 3), (32, 1), (96, 1)])
def test_a_file_fits_stem_and_channels_as_by_name(
    tmp_path, monkeypatch, size, channels, randomize_batchnorm
):
    _, path = published_file(tmp_path, "resnet18", randomize_batchnorm)
    monkeypatch.setattr("kdrun.models.pretrained.fetch", lambda url: path)
    shape = {"num_classes": 1000, "in_channels": channels, "image_size": size}
    named = build_model("resnet18", **shape, weights="DEFAULT")
    model = build_model("resnet18", **shape)
    line = load_given(model, path, source="f", adaptation=Adaptation(stem=True))
    assert "the first kernel" in line
    assert same(model, named.state_dict())


def small_vit(image_size, **options):
    return get_model("vit_b_32", image_size=image_size, **options)


@pytest.mark.slow
def test_position_embeddings_of_a_file_are_interpolated_as_by_name(tmp_path, monkeypatch):
    path = saved(tmp_path, small_vit(224).state_dict())
    monkeypatch.setattr("kdrun.models.pretrained.fetch", lambda url: path)
    named = build_model("vit_b_32", num_classes=1000, image_size=96, weights="DEFAULT")
    model = build_model("vit_b_32", num_classes=1000, image_size=96)
    line = load_given(model, path, source="f")
    assert "position embeddings interpolated for images of 96x96" in line
    assert same(model, named.state_dict())


def test_a_timm_file_is_converted_to_another_size_and_channels(tmp_path):
    pytest.importorskip("timm")
    original = build_model("test_vit", num_classes=1000, image_size=160, library="timm")
    path = saved(tmp_path, {"state_dict": original.state_dict(), "arch": "test_vit"})
    shape = {"num_classes": 10, "image_size": 64, "in_channels": 1, "library": "timm"}
    model = build_model("test_vit", **shape)
    start = Adaptation(new_head=True, stem=True, convert=timm_conversion)
    line = load_given(model, path, source="f", adaptation=start)
    assert "converted by timm" in line
    assert "its head is for 1000 classes" in line
    found, before = model.state_dict(), original.state_dict()
    assert found["pos_embed"].shape == (1, 1 + 4 * 4, 64)
    assert torch.equal(found["pos_embed"][:, 0], before["pos_embed"][:, 0])
    torch.testing.assert_close(
        found["patch_embed.proj.weight"], before["patch_embed.proj.weight"].sum(1, keepdim=True)
    )
    assert torch.equal(found["blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])


def test_a_file_of_another_timm_model_is_refused(tmp_path):
    pytest.importorskip("timm")
    original = build_model("test_vit", num_classes=10, image_size=160, library="timm")
    model = build_model("test_resnet", num_classes=10, image_size=64, library="timm")
    start = Adaptation(new_head=True, convert=timm_conversion)
    with pytest.raises(WeightsError, match="does not fit the model"):
        load_given(model, saved(tmp_path, original.state_dict()), source="f", adaptation=start)
