"""Layers are observed as they are, once, and only when asked for."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from kdrun.features.attention import attention_modules
from kdrun.features.extractor import FeatureExtractor, LayerError, validate_layers
from kdrun.features.layers import describe_layers
from kdrun.models.build import build_model
from kdrun.models.heads import PENULTIMATE


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=96,
        num_classes=7,
    )  # fmt: skip


def small_resnet():
    torch.manual_seed(0)
    return build_model("resnet8", num_classes=7)


def outputs_of(model, path, images):
    """What the layer of that path takes and gives, by a hook of the test's own."""
    seen = []
    handle = model.get_submodule(path).register_forward_hook(
        lambda module, args, output: seen.append((args[0], output))
    )
    model(images)
    handle.remove()
    return seen


# Hidden states


@pytest.mark.parametrize("training", [False, True])
def test_captures_equal_those_of_an_independent_hook(images, training):
    model = small_resnet().train(training)
    paths = ["conv1", "layer1", "layer2.0", "avgpool"]
    observed = FeatureExtractor(model, hidden=paths)
    observation = observed(images)
    assert torch.equal(observation.logits, model(images))
    assert list(observation.hidden) == paths
    assert observation.attention == {}
    for path, hidden in observation.hidden.items():
        [(_, output)] = outputs_of(model, path, images)
        assert torch.equal(hidden, output)


@pytest.mark.parametrize(
    ("arch", "head"),
    [("resnet8", "fc"), ("vgg8", "fc"), ("mlp", "fc"), ("mobilenet_v2", "classifier.1")],
)
def test_penultimate_is_the_input_of_the_classifying_layer(images, arch, head):
    model = build_model(arch, num_classes=7).eval()
    observation = FeatureExtractor(model, hidden=[PENULTIMATE])(images)
    [(head_input, _)] = outputs_of(model, head, images)
    assert torch.equal(observation.hidden[PENULTIMATE], head_input)
    logits = model.get_submodule(head)(observation.hidden[PENULTIMATE])
    torch.testing.assert_close(logits, observation.logits)


def test_penultimate_of_squeezenet_is_the_mean_over_positions():
    images = torch.randn(4, 3, 64, 64)
    model = build_model("squeezenet1_1", num_classes=7).eval()
    features = FeatureExtractor(model, hidden=[PENULTIMATE])(images).hidden[PENULTIMATE]
    [(head_input, _)] = outputs_of(model, "classifier.1", images)
    assert head_input.shape[2:] == (3, 3)
    assert features.shape == (4, 512)
    torch.testing.assert_close(features, head_input.flatten(2).sum(2) / 9)


def test_gradients_flow_to_the_layers_below_and_to_no_other(images):
    model, reference = small_resnet(), small_resnet()
    FeatureExtractor(model, hidden=["layer2"])(images).hidden["layer2"].square().sum().backward()
    [(_, output)] = outputs_of(reference, "layer2", images)
    output.square().sum().backward()
    for (name, parameter), expected in zip(
        model.named_parameters(), reference.parameters(), strict=True
    ):
        if name.startswith(("layer3", "fc")):
            assert parameter.grad is None
        else:
            assert parameter.grad.abs().sum() > 0
            assert torch.equal(parameter.grad, expected.grad)


def test_the_precision_of_autocast_is_kept(images):
    with torch.autocast("cpu", torch.bfloat16):
        observation = FeatureExtractor(small_resnet().eval(), hidden=["conv1", PENULTIMATE])(images)
    assert observation.hidden["conv1"].dtype == torch.bfloat16
    assert observation.hidden[PENULTIMATE].dtype == torch.bfloat16


def test_a_frozen_teacher_can_be_observed_in_inference_mode(images):
    model = small_resnet().eval()
    expected = FeatureExtractor(model, hidden=["layer1"])(images).hidden["layer1"]
    with torch.inference_mode():
        hidden = FeatureExtractor(model, hidden=["layer1"])(images).hidden["layer1"]
    assert torch.equal(hidden, expected)


# Only when asked


def test_passes_outside_are_not_captured(images):
    model = small_resnet().eval()
    observed = FeatureExtractor(model, hidden=["layer1"])
    model(images)
    model(images)
    # Two captures more would be refused.
    hidden = observed(images).hidden["layer1"]
    model(images)
    assert torch.equal(observed(images).hidden["layer1"], hidden)


def test_no_capture_is_kept_after_the_call(images):
    observed = FeatureExtractor(small_resnet(), hidden=["layer1"])
    assert observed(images).hidden["layer1"].shape == (4, 16, 32, 32)
    assert not any(observed._hidden.values())


def test_a_failed_pass_leaves_nothing_behind(images):
    model = small_resnet().eval()
    observed = FeatureExtractor(model, hidden=["layer1"])
    with pytest.raises(RuntimeError):
        observed(images[:, :1])
    # Fails behind the layer.
    model.fc, fc = nn.Linear(3, 7), model.fc
    with pytest.raises(RuntimeError):
        observed(images)
    model.fc = fc
    assert torch.equal(observed(images).hidden["layer1"], outputs_of(model, "layer1", images)[0][1])


def test_two_observers_of_one_model_do_not_disturb_one_another(images):
    model = small_resnet().eval()
    first = FeatureExtractor(model, hidden=["layer1", "layer2"])
    second = FeatureExtractor(model, hidden=["layer1"])
    alone = first(images)
    shared = second(images)
    assert list(shared.hidden) == ["layer1"]
    assert torch.equal(shared.hidden["layer1"], alone.hidden["layer1"])
    second.close()
    assert torch.equal(first(images).hidden["layer2"], alone.hidden["layer2"])


def test_a_copy_of_the_model_does_not_report_to_the_observer(images):
    model = small_resnet().eval()
    observed = FeatureExtractor(model, hidden=["layer1"])
    copy.deepcopy(model)(images)
    assert list(observed(images).hidden) == ["layer1"]


def test_state_stays_the_models_and_close_removes_the_hooks():
    model = small_resnet()
    names = list(model.state_dict())
    observed = FeatureExtractor(model, hidden=["layer1", PENULTIMATE])
    assert list(model.state_dict()) == names
    assert sum(len(module._forward_hooks) for module in model.modules()) == 2
    observed.close()
    assert not any(module._forward_hooks for module in model.modules())


def test_without_layers_the_model_gets_no_hook(images):
    model = small_resnet().eval()
    observation = FeatureExtractor(model)(images)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(observation.logits, model(images))
    assert observation.hidden == observation.attention == {}


# Refused


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("bn1", "is overwritten in place after it returned"),
        ("layer1.0.bn2", "is overwritten in place after it returned"),
        ("layer1.0.relu", "is called 2 times in one forward pass"),
    ],
)
def test_layers_of_resnet18_that_would_mislead_are_refused_by_name(images, path, fault):
    observed = FeatureExtractor(build_model("resnet18", num_classes=7), hidden=["layer1", path])
    with pytest.raises(LayerError, match=f"^layer '{path}' {fault} .*kdrun layers MODEL") as error:
        observed(images)
    assert error.value.code == 2


class Odd(nn.Module):
    """One layer is never called, one returns a pair, one attends to other tokens."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.pair = nn.LSTM(96, 6, batch_first=True)
        self.cross = nn.MultiheadAttention(6, 2, batch_first=True)
        self.masked = nn.MultiheadAttention(6, 2)
        self.fc = nn.Linear(6, 7)

    def forward(self, images):
        tokens = self.pair(images.transpose(1, 2).flatten(2))[0]
        tokens = self.cross(tokens, tokens.flip(1), tokens)[0].transpose(0, 1)
        mask = torch.ones(len(tokens), len(tokens), dtype=torch.bool).triu(1)
        tokens = self.masked(tokens, tokens, tokens, attn_mask=mask)[0]
        return self.fc(tokens.mean(dim=0))


@pytest.mark.parametrize(
    ("path", "fault"),
    [("unused", "is never called"), ("pair", "does not return one tensor")],
)
def test_a_layer_that_gives_no_one_tensor_is_refused(images, path, fault):
    with pytest.raises(LayerError, match=f"layer '{path}' {fault}"):
        FeatureExtractor(Odd(), hidden=[path])(images)


@pytest.mark.parametrize("path", ["cross", "masked"])
def test_attention_to_other_tokens_or_with_a_mask_is_refused(images, path):
    with pytest.raises(LayerError, match=f"layer '{path}' is no self-attention of tokens"):
        FeatureExtractor(Odd(), attention=[path])(images)


def test_an_unknown_layer_is_refused_before_any_hook_is_set():
    model = small_resnet()
    with pytest.raises(LayerError, match="unknown layer 'leyer1'; did you mean 'layer1'"):
        FeatureExtractor(model, hidden=["layer2", "leyer1"])
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_is_no_attention_is_refused_as_attention():
    with pytest.raises(LayerError, match=r"no attention map .* 'layer1' \(Sequential\)"):
        FeatureExtractor(small_resnet(), attention=["layer1"])


def test_all_wrong_names_are_listed_in_one_line_with_the_key(images):
    layers = describe_layers(build_model("resnet18", num_classes=7), images)
    wanted = ["bn1", "layer1", "layer1.0.relu", PENULTIMATE, "leyer2", "layer3"]
    with pytest.raises(LayerError) as error:
        validate_layers("resnet18", layers, wanted, "loss.hint.layers")
    assert str(error.value) == (
        "loss.hint.layers cannot use these layers of resnet18: "
        "'bn1' is overwritten in place after it returned; "
        "'layer1.0.relu' is called 2 times in one forward pass; "
        "'leyer2' is unknown; did you mean 'layer2'? "
        "('kdrun layers resnet18' lists the usable layers)"
    )


def test_uncalled_layers_and_pairs_are_listed_too(images):
    layers = describe_layers(Odd(), images)
    with pytest.raises(LayerError, match=r"'unused' is never called .*; 'pair' does not return"):
        validate_layers("odd", layers, ["unused", "pair", "fc"], "loss.hint.layers")


def test_layers_that_can_be_captured_pass_validation(images):
    model = build_model("resnet18", num_classes=7)
    wanted = ["conv1", "layer1.0", "layer4", PENULTIMATE]
    validate_layers("resnet18", describe_layers(model, images), wanted, "loss.hint.layers")
    assert list(FeatureExtractor(model, hidden=wanted)(images).hidden) == wanted


# Attention


@pytest.mark.parametrize("training", [False, True])
def test_maps_of_torchvision_equal_the_modules_own_weights(vit, images, training):
    vit.train(training)
    paths = attention_modules(vit)
    assert paths == [f"encoder.layers.encoder_layer_{i}.self_attention" for i in range(2)]
    maps = FeatureExtractor(vit, attention=paths)(images).attention
    assert list(maps) == paths
    for path, attention_map in maps.items():
        [(tokens, _)] = outputs_of(vit, path, images)
        weights = vit.get_submodule(path)(tokens, tokens, tokens, average_attn_weights=False)[1]
        assert attention_map.shape == (4, 3, 17, 17)
        torch.testing.assert_close(attention_map, weights)


class Attending(nn.Module):
    """One attention module between pixels as tokens and a head."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.fc = nn.Linear(32, 7)

    def forward(self, images):
        tokens = images.flatten(1, 2)
        if isinstance(self.attention, nn.MultiheadAttention):
            tokens = tokens.transpose(0, 1)
            return self.fc(self.attention(query=tokens, key=tokens, value=tokens)[0].mean(0))
        return self.fc(self.attention(tokens).mean(1))


def test_sequence_first_attention_without_bias_called_by_keyword_is_understood(images):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(32, 4, bias=False)
    maps = FeatureExtractor(Attending(attention), attention=["attention"])(images).attention
    tokens = images.flatten(1, 2).transpose(0, 1)
    weights = attention(tokens, tokens, tokens, average_attn_weights=False)[1]
    torch.testing.assert_close(maps["attention"], weights)


def test_gradients_flow_through_the_map(vit, images):
    path = attention_modules(vit)[1]
    FeatureExtractor(vit, attention=[path])(images).attention[path].square().sum().backward()
    captured = {name: p.grad for name, p in vit.named_parameters() if p.grad is not None}
    vit.zero_grad()
    [(tokens, _)] = outputs_of(vit, path, images)
    weights = vit.get_submodule(path)(tokens, tokens, tokens, average_attn_weights=False)[1]
    weights.square().sum().backward()
    assert f"{path}.in_proj_weight" in captured
    assert "conv_proj.weight" in captured
    for name, gradient in captured.items():
        torch.testing.assert_close(gradient, vit.get_parameter(name).grad, atol=1e-5, rtol=1e-4)


def test_maps_are_float32_under_autocast_with_rows_that_sum_to_one(vit, images):
    paths = attention_modules(vit)
    full = FeatureExtractor(vit.eval(), attention=paths)(images).attention
    with torch.autocast("cpu", torch.bfloat16):
        half = FeatureExtractor(vit, attention=paths)(images).attention
    for path in paths:
        assert half[path].dtype == torch.float32
        torch.testing.assert_close(half[path].sum(-1), torch.ones(4, 3, 17))
        torch.testing.assert_close(half[path], full[path], atol=5e-3, rtol=5e-2)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_maps_of_timm_equal_what_unfused_attention_computes(images, qk_norm):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    attention = timm.layers.Attention(
        32, num_heads=4, qkv_bias=True, qk_norm=qk_norm, norm_layer=nn.LayerNorm
    )
    model = Attending(attention)
    assert attention_modules(model) == ["attention"]
    # A watched norm is still seen to be called once.
    hidden = ["attention.q_norm"]
    attention.fused_attn = True
    observation = FeatureExtractor(model, hidden=hidden, attention=["attention"])(images)
    attention.fused_attn = False
    [(weights, _)] = outputs_of(model, "attention.attn_drop", images)
    assert weights.shape == (4, 4, 96, 96)
    torch.testing.assert_close(observation.attention["attention"], weights)


def test_timm_attention_with_a_bias_on_its_scores_is_not_offered():
    timm = pytest.importorskip("timm")
    swin = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1))
    beit = timm.create_model("beit_base_patch16_224", depth=1)
    assert attention_modules(swin) == attention_modules(beit) == []


# Compiled


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_gives_the_same_captures_and_gradients(images, backend):
    torch.compiler.reset()
    paths = ["layer1", "layer2.0", PENULTIMATE]
    results = []
    for compiled in (False, True):
        model = small_resnet()
        forward = torch.compile(model, backend=backend, fullgraph=True) if compiled else model
        observed = FeatureExtractor(model, forward, hidden=paths)
        forward(images)
        observation = observed(images)
        sum(hidden.square().mean() for hidden in observation.hidden.values()).backward()
        results.append([*observation.hidden.values(), observation.logits, model.conv1.weight.grad])
        assert list(observation.hidden) == paths
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_a_compiled_transformer_gives_the_same_maps(vit, images):
    torch.compiler.reset()
    paths = attention_modules(vit)
    eager = FeatureExtractor(vit, attention=paths)(images)
    observed = FeatureExtractor(
        vit, torch.compile(vit, backend="eager", fullgraph=True), attention=paths
    )
    for _ in range(2):
        compiled = observed(images)
        for path in paths:
            torch.testing.assert_close(compiled.attention[path], eager.attention[path])


def test_a_layer_called_twice_is_refused_when_compiled_too(images):
    torch.compiler.reset()
    model = build_model("resnet18", num_classes=7)
    observed = FeatureExtractor(
        model, torch.compile(model, backend="eager"), hidden=["layer1.0.relu"]
    )
    with pytest.raises(LayerError, match=r"'layer1\.0\.relu' is called 2 times"):
        observed(images)
