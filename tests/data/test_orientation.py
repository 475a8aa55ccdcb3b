"""EXIF orientation: pixels against the definition of each, and the identity of turned images."""

import hashlib
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from kdrun.data import file_digests
from kdrun.data.orientation import ImageDigest, image_digest
from kdrun.data.rgb_pixels import read_rgb

from .conftest import write_pictures

UPRIGHT = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)

STORED = {
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.swapaxes(0, 1),
    6: np.rot90,
    7: lambda u: u.swapaxes(0, 1)[::-1, ::-1],
    8: lambda u: np.rot90(u, -1),
}
"""Where EXIF's table puts the rows and columns: of 6, the 0th row is the right side."""

KINDS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "JPEG": {"quality": 100}}


def file_of(stored, kind, number=None, **options):
    exif = Image.Exif()
    if number is not None:
        exif[274] = number
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(
        file, kind, exif=exif, **KINDS[kind], **options
    )
    file.seek(0)
    return file


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("number", STORED)
def test_an_image_is_turned_upright(kind, number):
    file = file_of(STORED[number](UPRIGHT), kind, number)
    assert np.array_equal(read_rgb("x", file, None, 24), UPRIGHT)


@pytest.mark.parametrize("number", STORED)
def test_a_jpeg_is_turned_as_its_decoded_pixels(number):
    stored = STORED[number](UPRIGHT)
    plain = np.array(Image.open(file_of(stored, "JPEG")))
    turned = read_rgb("x", file_of(stored, "JPEG", number), None, 24)
    assert turned.shape == UPRIGHT.shape
    assert np.array_equal(STORED[number](turned), plain)


@pytest.mark.parametrize("number", STORED)
def test_other_modes_are_turned_too(number):
    deep = UPRIGHT[..., 0].astype(np.uint16) * 257
    file = file_of(STORED[number](deep), "PNG", number)
    assert np.array_equal(read_rgb("x", file, None, 24)[..., 0], UPRIGHT[..., 0])


@pytest.mark.parametrize("number", [None, 0, 1, 9, 6.5, "6"])
def test_other_orientations_change_nothing(number):
    exif = Image.Exif()
    if isinstance(number, int):
        exif[274] = number
    file = BytesIO()
    Image.fromarray(UPRIGHT).save(file, "PNG", exif=exif)
    assert np.array_equal(read_rgb("x", file, None, 24), UPRIGHT)


def test_damaged_exif_does_not_refuse_the_pixels():
    file = BytesIO()
    Image.fromarray(UPRIGHT).save(file, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense")
    assert np.array_equal(read_rgb("x", file, None, 24), UPRIGHT)
    assert image_digest(BytesIO(file.getvalue())) == hashlib.sha256(file.getvalue()).digest()


def digest_of(file):
    return image_digest(BytesIO(file.getvalue()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [None, 1, *STORED])
def test_only_images_that_are_turned_have_another_identity_than_before(kind, number):
    file = file_of(UPRIGHT, kind, number)
    turned = number in STORED and kind != "TIFF"  # PIL has always turned those
    assert (digest_of(file) != hashlib.sha256(file.getvalue()).digest()) == turned


def test_an_orientation_in_xmp_is_found():
    file = BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:D tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(np.rot90(UPRIGHT)).save(file, "WEBP", lossless=True, xmp=xmp)
    turned = np.array_equal(read_rgb("x", file, None, 24), UPRIGHT)
    assert (digest_of(file) != hashlib.sha256(file.getvalue()).digest()) == turned


def test_the_mark_of_exif_is_found_between_two_chunks():
    content = file_of(UPRIGHT, "PNG", 6).getvalue()
    whole = image_digest(BytesIO(content))
    assert whole != hashlib.sha256(content).digest()
    for cut in range(1, len(content), 7):
        digest = ImageDigest()
        digest.update(content[:cut])
        digest.update(content[cut:])
        assert digest.finish(BytesIO(content)) == whole
    digest = ImageDigest()
    for place in range(len(content)):
        digest.update(content[place : place + 1])
    assert digest.finish(BytesIO(content)) == whole


def test_files_that_are_no_images_keep_their_sha256():
    content = b"Exif no image Orientation"
    assert image_digest(BytesIO(content)) == hashlib.sha256(content).digest()


def test_a_data_set_with_a_turned_image_has_another_fingerprint_than_one_without(
    tmp_path, load, monkeypatch
):
    plain = write_pictures(tmp_path / "plain", {"train": 2, "val": 1})
    shutil.copytree(plain, tmp_path / "turned")
    picture = tmp_path / "turned" / "train" / "cat" / "0.jpg"
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(plain / "train" / "cat" / "0.jpg") as image:
        image.save(picture, quality=95, exif=exif)
    before = load("imagefolder", root=str(plain)).fingerprint
    assert load("imagefolder", root=str(tmp_path / "turned")).fingerprint != before
    after = load("imagefolder", root=str(tmp_path / "turned")).fingerprint

    class Sha256(ImageDigest):  # the digest of versions that did not turn images
        def finish(self, file):
            return self._content.digest()

    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(file_digests, "ImageDigest", Sha256)
    assert load("imagefolder", root=str(plain)).fingerprint == before
    assert load("imagefolder", root=str(tmp_path / "turned")).fingerprint != after
