import os
import re
import signal
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from kdrun.data.counter_random import shuffled
from kdrun.data.crops import squares
from kdrun.data.decoding import Request
from kdrun.data.folder_split import FolderSplit
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.errors import DataError

from .conftest import write_pictures

CPU = torch.device("cpu")


def make_split(root, workers=0, image_size=24, resize_on_device=None):
    files = read_class_folders("imagefolder", str(root)).train
    labels = torch.from_numpy(files.labels)
    return FolderSplit(files, labels, image_size, CPU, workers, resize_on_device)


@pytest.fixture(scope="module")
def served(pictures):
    """A split with two workers, which start once for all tests of this module."""
    return make_split(pictures, workers=2)


def views(split, batch_size=11, seed=1, view=2, augment="crop_flip", start=0):
    """Image by index of one training pass."""
    batches = split.train_batches(batch_size, seed=seed, view=view, augment=augment, start=start)
    return {
        index: image
        for batch in batches
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True)
    }


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[i], other[i]) for i in one)


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_views_are_the_same_with_and_without_workers(pictures, served, augment):
    assert equal(views(served, augment=augment), views(make_split(pictures), augment=augment))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
@pytest.mark.parametrize("image_size", [9, 24, 60])
def test_views_resized_on_the_device_are_those_that_workers_make(
    pictures, workers, augment, image_size
):
    ours = make_split(pictures, workers, image_size)
    left = make_split(pictures, workers, image_size, resize_on_device=True)
    assert equal(views(left, augment=augment), views(ours, augment=augment))
    assert equal(views(left, augment=augment, start=1), views(ours, augment=augment, start=1))
    for one, other in zip(left.batches(5), ours.batches(5), strict=True):
        assert torch.equal(one.images, other.images)


def test_crops_are_resized_as_floats_to_the_nearest_grey_level(pictures):
    split = make_split(pictures, resize_on_device=True)
    request = Request(list(range(33)), "crop_flip", list(range(33)))
    crops, _ = split._images[request]
    images = squares(crops.on(CPU), 24)
    mirrored = 0
    for crop, image in zip(crops.on(CPU), images, strict=True):
        # CUDA has no kernel for integers, so that torchvision resizes floats there.
        floats = interpolate(crop.pixels[None].double(), (24, 24), mode="bilinear", antialias=True)
        expected = (floats[0].flip(2) if crop.mirrored else floats[0]).round()
        assert (image.permute(2, 0, 1) - expected).abs().max() <= 1
        mirrored += crop.mirrored
    assert 5 < mirrored < 28


def test_the_device_is_asked_nothing_when_it_resizes(pictures):
    split = make_split(pictures, resize_on_device=True)
    crops, _ = split._images[Request([0, 1, 2], "crop_flip", [3, 4, 5])]
    # On this device there is no data, so that any question to it raises.
    assert squares(crops.on(torch.device("meta")), 24).shape == (3, 24, 24, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_cuda_makes_the_views_of_the_cpu(pictures, workers):
    files = read_class_folders("imagefolder", str(pictures)).train
    labels = torch.from_numpy(files.labels)
    split = FolderSplit(files, labels, 24, torch.device("cuda"), workers)
    found = views(split)
    assert equal(views(split, batch_size=3), found)
    for index, image in views(make_split(pictures)).items():
        assert (found[index].cpu().int() - image.int()).abs().max() <= 1
    for one, other in zip(split.batches(5), make_split(pictures).batches(5), strict=True):
        assert torch.equal(one.images.cpu(), other.images)


def test_no_crop_is_sent_that_has_many_times_the_pixels_wanted(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    for path in (tmp_path / "train").glob("*/*.jpg"):
        Image.effect_noise((800, 600), 50).convert("RGB").save(path)
    left, ours = make_split(tmp_path, resize_on_device=True), make_split(tmp_path)
    crops, _ = left._images[Request([0, 1], "crop", [3, 4])]
    assert crops.shapes.tolist() == [[24, 24, 0]] * 2
    assert equal(views(left, batch_size=2), views(ours, batch_size=2))


def test_views_are_the_same_whatever_the_batch_size_and_start(pictures):
    split = make_split(pictures)
    whole = views(split)
    assert len(whole) == 33
    assert equal(views(split, batch_size=3), whole)
    rest = views(split, start=1)
    assert list(rest) == shuffled(33, 1, 2)[11:].tolist()
    assert all(torch.equal(rest[index], whole[index]) for index in rest)


def test_seeds_and_views_draw_anew(pictures):
    split = make_split(pictures)
    one = views(split)
    for other in (views(split, seed=2), views(split, view=3)):
        assert not any(torch.equal(one[index], other[index]) for index in one)


def test_crops_differ_from_flipped_crops_only_by_the_mirror(pictures):
    split = make_split(pictures)
    plain, flipped = views(split, augment="crop"), views(split, augment="crop_flip")
    same = [torch.equal(plain[i], flipped[i]) for i in plain]
    mirrored = [torch.equal(plain[i].flip(2), flipped[i]) for i in plain]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 5 < sum(mirrored) < 28


def test_evaluation_takes_the_centre_of_the_resized_image(pictures, served):
    crop = v2.Compose([v2.Resize(27), v2.CenterCrop(24)])
    batches = list(served.batches(10))
    assert [len(batch.labels) for batch in batches] == [10, 10, 10, 3]
    images = torch.cat([batch.images for batch in batches])
    for path, image in zip(served._images.files.paths, images, strict=True):
        with Image.open(pictures / path.decode()) as file:
            expected = np.asarray(crop(file.convert("RGB"))).astype(int)
        # PIL and torch round apart in a few pixels.
        difference = np.abs(image.permute(1, 2, 0).numpy() - expected)
        assert difference.max() <= 2
        assert difference.mean() < 0.05
    assert torch.equal(torch.cat([batch.labels for batch in batches]), served.labels)
    assert torch.equal(torch.cat([batch.indices for batch in batches]), torch.arange(33))


def test_batches_are_uint8_in_channels_last_memory(served):
    batch = next(iter(served.train_batches(8, seed=0, view=0, augment="crop_flip")))
    assert batch.images.shape == (8, 3, 24, 24)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.labels, served.labels[batch.indices])


def worker_ids(split):
    return [worker.pid for worker in split._loader._iterator._workers]


def test_workers_live_on_from_pass_to_pass(served):
    views(served)
    before = worker_ids(served)
    list(served.batches(8))
    with closing(served.train_batches(4, seed=0, view=0, augment="crop")) as cut_short:
        next(cut_short)
    assert len(views(served, view=9)) == 33
    assert worker_ids(served) == before


def test_a_pass_within_a_pass_disturbs_neither(served):
    whole, other = views(served, batch_size=5), views(served, batch_size=4, view=3)
    outer = served.train_batches(5, seed=1, view=2, augment="crop_flip")
    seen = []
    for number, batch in enumerate(outer):
        seen += zip(batch.indices.tolist(), batch.images, strict=True)
        if number == 2:
            assert equal(views(served, batch_size=4, view=3), other)
    assert equal(dict(seen), whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_draws_nothing_from_torchs_generator(pictures, served, workers):
    split = served if workers else make_split(pictures)
    torch.manual_seed(12)
    views(split)
    list(split.batches(8))
    after = torch.rand(3)
    torch.manual_seed(12)
    assert torch.equal(after, torch.rand(3))


def test_workers_do_not_end_at_an_interrupt_from_the_keyboard(served):
    whole = views(served)
    for worker in worker_ids(served):
        os.kill(worker, signal.SIGINT)
    assert equal(views(served), whole)


AFTER_A_JOB = """
import sys
from kdrun.runs.sweep.child_process import run_in_child
from tests.data.test_folder_split import make_split

if __name__ == "__main__":
    run_in_child(print, ("job done",))
    split = make_split(sys.argv[1], workers=1)
    next(split.batches(2))
    (worker,) = split._loader._iterator._workers
    worker.terminate()
    worker.join(20)
    print(worker.exitcode)
"""


def test_workers_end_when_told_to_also_after_a_job_of_its_own_process(pictures, tmp_path):
    (tmp_path / "script.py").write_text(AFTER_A_JOB)
    command = [sys.executable, str(tmp_path / "script.py"), str(pictures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split("\n")[:2] == ["job done", str(-signal.SIGTERM)]


def test_images_of_every_mode_become_rgb(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    with Image.open(tmp_path / "train" / "cat" / "0.jpg") as picture:
        for mode in ("L", "RGBA", "P", "1", "LA"):
            picture.convert(mode).save(tmp_path / "train" / "cat" / f"{mode}.png")
        picture.convert("CMYK").save(tmp_path / "train" / "cat" / "cmyk.jpg")
    split = make_split(tmp_path)
    assert torch.cat([batch.images for batch in split.batches(5)]).shape == (12, 3, 24, 24)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-400])


def replace_by_text(path):
    path.write_text("this is no image")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("harm", [truncate, replace_by_text, remove])
@pytest.mark.parametrize("training", [True, False])
def test_an_unreadable_image_is_named_on_one_line(tmp_path, harm, training):
    check_unreadable(tmp_path, harm, training, workers=0)


@pytest.mark.parametrize("harm", [truncate, replace_by_text])
def test_an_unreadable_image_is_named_on_one_line_by_a_worker_too(tmp_path, harm):
    check_unreadable(tmp_path, harm, True, workers=1)


def check_unreadable(root, harm, training, workers):
    write_pictures(root, {"train": 3, "val": 1})
    split = make_split(root, workers=workers)
    file = root / "train" / "cat" / "1.jpg"
    harm(file)
    augmented = split.train_batches(3, seed=0, view=0, augment="crop")
    line = rf"\A{re.escape(str(file))}: not a readable image \(.+\); replace or remove the file\Z"
    with pytest.raises(DataError, match=line):
        list(augmented if training else split.batches(2))


@pytest.mark.parametrize("workers", [0, 1])
def test_of_several_unreadable_images_all_are_named_at_once(tmp_path, workers):
    write_pictures(tmp_path, {"train": 3, "val": 1})
    split = make_split(tmp_path, workers=workers)
    files = [tmp_path / "train" / name for name in ("bird/2.jpg", "cat/0.jpg", "dog/1.jpg")]
    for file in files:
        truncate(file)
    with pytest.raises(DataError, match="and 2 more") as caught:
        list(split.batches(2))
    message = str(caught.value)
    assert message.startswith(str(files[0]))
    assert all(str(file) in message for file in files)


def test_every_truncation_of_a_jpeg_is_read_or_refused(tmp_path):
    write_pictures(tmp_path, {"train": 1, "val": 1})
    split = make_split(tmp_path)
    file = tmp_path / "train" / "bird" / "0.jpg"
    content = file.read_bytes()
    refused = 0
    for length in range(1, len(content), len(content) // 40):
        file.write_bytes(content[:length])
        try:
            next(split.batches(1))
        except DataError:
            refused += 1
    assert refused > 35


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGKILL, "killed by the kernel .* memory ran out; set train.workers lower"),
        (signal.SIGSEGV, "crashed in a library, perhaps on a damaged image; set train.workers"),
    ],
)
def test_a_killed_worker_is_a_data_error_with_the_cause_and_the_remedy(pictures, number, line):
    split = make_split(pictures, workers=1)
    passing = split.train_batches(2, seed=0, view=0, augment="crop")
    next(passing)
    os.kill(worker_ids(split)[0], number)
    with pytest.raises(DataError, match=rf"\Aan image-decoding worker process failed: {line}.*\Z"):
        list(passing)
