"""torchvision's published weights, stood in for by files of the same layout: no network."""

import hashlib
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import get_model

from kdrun.errors import WeightsError
from kdrun.models.build import build_model
from kdrun.models.pretrained import fetch

pytestmark = pytest.mark.usefixtures("unchecked_size")


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Let every published file be one of this state."""

    def as_published(state):
        file = tmp_path / "published.pth"
        torch.save(state, file)
        monkeypatch.setattr("kdrun.models.pretrained.fetch", lambda url: file)

    return as_published


def original(arch, randomize_batchnorm, **options):
    torch.manual_seed(0)
    model = get_model(arch, **options).eval()
    randomize_batchnorm(model)
    return model


@pytest.mark.parametrize("arch", ["resnet18", "densenet121", "mnasnet0_5", "shufflenet_v2_x0_5"])
def test_published_weights_give_torchvision_s_logits(arch, publish, randomize_batchnorm):
    model = original(arch, randomize_batchnorm)
    publish(model.state_dict())
    built = build_model(arch, num_classes=1000, image_size=96, weights="DEFAULT").eval()
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(built(images), model(images), rtol=0, atol=0)


@pytest.mark.parametrize("arch", ["googlenet", "inception_v3"])
def test_auxiliary_heads_in_the_file_are_left_out(arch, publish, randomize_batchnorm):
    model = original(
        arch, randomize_batchnorm, aux_logits=True, init_weights=False, transform_input=True
    )
    publish(model.state_dict())
    built = build_model(arch, num_classes=1000, image_size=128, weights="IMAGENET1K_V1").eval()
    images = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(built(images), model(images), rtol=0, atol=0)


def test_old_spelling_of_dense_layers_is_understood(publish, randomize_batchnorm):
    model = original("densenet121", randomize_batchnorm)
    old = {}
    for name, tensor in model.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")  # noqa: PLW2901
        if "num_batches_tracked" not in name:
            old[name] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    publish(old)
    built = build_model("densenet121", num_classes=1000, image_size=96, weights="DEFAULT").eval()
    images = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(built(images), model(images), rtol=0, atol=0)


@pytest.mark.slow
def test_position_embeddings_are_fitted_to_the_image_size(publish):
    torch.manual_seed(0)
    model = get_model("vit_b_32", image_size=224)
    constant = torch.randn(768)
    with torch.no_grad():
        model.encoder.pos_embedding[:, 1:] = constant
    publish(model.state_dict())
    built = build_model("vit_b_32", num_classes=10, image_size=96, weights="DEFAULT")
    positions = built.encoder.pos_embedding
    assert positions.shape == (1, 1 + 3 * 3, 768)
    assert torch.equal(positions[:, 0], model.encoder.pos_embedding[:, 0])
    torch.testing.assert_close(positions[0, 1:], constant.expand(9, -1), rtol=1e-4, atol=1e-5)


def test_other_classes_get_a_fresh_head_on_the_published_body(publish, randomize_batchnorm):
    model = original("resnet18", randomize_batchnorm)
    publish(model.state_dict())
    built = build_model("resnet18", num_classes=10, image_size=96, weights="DEFAULT")
    assert built.fc.weight.shape == (10, 512)
    for name, tensor in model.state_dict().items():
        assert name.startswith("fc.") or torch.equal(built.state_dict()[name], tensor), name


def test_grey_images_give_what_they_gave_in_colour(publish, randomize_batchnorm):
    model = original("resnet18", randomize_batchnorm)
    publish(model.state_dict())
    grey = torch.randn(2, 1, 96, 96)
    for channels in (1, 4):
        built = build_model(
            "resnet18", num_classes=1000, in_channels=channels, image_size=96, weights="DEFAULT"
        )
        found = built.eval()(grey.expand(-1, channels, -1, -1))
        torch.testing.assert_close(found, model(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_small_stem_takes_the_centre_of_the_published_kernel(publish, randomize_batchnorm):
    model = original("resnet18", randomize_batchnorm)
    publish(model.state_dict())
    built = build_model("resnet18", num_classes=1000, image_size=32, weights="DEFAULT")
    assert torch.equal(built.conv1.weight, model.conv1.weight[:, :, 2:5, 2:5])
    assert isinstance(built.maxpool, nn.Identity)


@pytest.mark.parametrize("arch", ["resnet18", "googlenet"])
def test_a_state_from_published_weights_fits_the_model_built_without(arch, publish):
    options = {"init_weights": False} if arch == "googlenet" else {}
    publish(get_model(arch, **options).state_dict())
    shape = {"num_classes": 10, "in_channels": 1, "image_size": 32}
    pretrained = build_model(arch, **shape, weights="DEFAULT").eval()
    bare = build_model(arch, **shape).eval()
    bare.load_state_dict(pretrained.state_dict())
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(bare(images), pretrained(images), rtol=0, atol=0)


def test_published_weights_with_undefined_values_are_refused(publish):
    model = get_model("squeezenet1_1")
    nn.init.constant_(model.classifier[1].weight, float("nan"))
    publish(model.state_dict())
    with pytest.raises(WeightsError, match=r"of squeezenet1_1 has non-finite.*classifier\.1\.wei"):
        build_model("squeezenet1_1", num_classes=10, weights="DEFAULT")


def test_a_file_of_another_network_is_refused(publish):
    publish(get_model("resnet34").state_dict())
    with pytest.raises(WeightsError, match=r"published\.pth does not hold the weights of resnet18"):
        build_model("resnet18", num_classes=10, weights="DEFAULT")


def test_unknown_weights_list_those_there_are():
    message = r"no weights 'IMAGENET_V1'; did you mean 'IMAGENET1K_V1'\?; there are .*, DEFAULT"
    with pytest.raises(WeightsError, match=message):
        build_model("resnet18", num_classes=10, weights="IMAGENET_V1")


def test_all_published_files_name_their_hash(monkeypatch):
    monkeypatch.setattr("kdrun.models.pretrained._download", lambda url, file, stated: None)
    for arch in torchvision.models.list_models(module=torchvision.models):
        for weights in torchvision.models.get_model_weights(arch):
            with pytest.raises(WeightsError, match="no weights file at"):
                fetch(weights.url)


CONTENT = b"the weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


def test_a_cached_file_is_taken_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / f"net-{DIGEST}.pth"
    file.write_bytes(CONTENT)
    assert fetch(f"https://example.invalid/models/net-{DIGEST}.pth") == file


def test_a_damaged_cached_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / f"net-{DIGEST}.pth"
    file.write_bytes(CONTENT + b"!")
    with pytest.raises(WeightsError, match=f"{file} is damaged .*: delete it"):
        fetch(f"https://example.invalid/models/net-{DIGEST}.pth")


def test_no_network_names_the_file_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))

    def offline(*given, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError, match=r"cannot download resnet18-\w+\.pth .* by hand") as info:
        build_model("resnet18", num_classes=10, weights="DEFAULT")
    assert "\n" not in str(info.value)
    assert str(tmp_path / "checkpoints") in str(info.value)
