import pytest
import torch
from torchvision.transforms.v2 import functional

from kdrun.data.normalizer import Normalizer

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def random_images(*shape):
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_images_match_torchvisions(channels):
    images = random_images(5, channels, 6, 9)
    mean, std = MEAN[:channels], STD[:channels]
    expected = functional.normalize(images.double() / 255, list(mean), list(std))
    torch.testing.assert_close(Normalizer(mean, std)(images), expected.float())


def test_normalising_keeps_channels_last_memory_whatever_the_input():
    normalizer = Normalizer(MEAN, STD)
    images = random_images(5, 3, 6, 9)
    for given_images in (images, images.to(memory_format=torch.channels_last)):
        normalised = normalizer(given_images)
        assert normalised.dtype == torch.float32
        assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalizer(images, torch.bfloat16), normalised.bfloat16())


@pytest.mark.parametrize("channels", [1, 3])
def test_without_channels_last_the_strides_are_those_of_a_contiguous_batch(channels):
    images = random_images(5, channels, 6, 9).to(memory_format=torch.channels_last)
    mean, std = MEAN[:channels], STD[:channels]
    contiguous, usual = Normalizer(mean, std, channels_last=False), Normalizer(mean, std)
    assert contiguous(images).stride() == (channels * 54, 54, 9, 1)
    assert torch.equal(contiguous(images), usual(images))
    assert contiguous.key != usual.key


def test_a_normalizer_adds_nothing_to_a_state_dict():
    assert Normalizer(MEAN, STD).state_dict() == {}


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.2, 0.2)), ((0.5,), (0.0,))])
def test_a_normalizer_refuses_constants_that_do_not_fit(mean, std):
    with pytest.raises(ValueError, match="positive std for each mean"):
        Normalizer(mean, std)


def test_a_normalizer_refuses_images_of_other_channels():
    with pytest.raises(ValueError, match="1-channel images for 3 channels"):
        Normalizer(MEAN, STD)(random_images(2, 1, 4, 4))
