"""Teachers: frozen copies of finished models, in the type and memory they compute in."""

from functools import partial

import pytest
import torch

from kdrun.data.normalizer import Normalizer
from kdrun.device import autocast
from kdrun.models.build import build_model
from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.quota import CacheQuota
from kdrun.teachers.cached_teacher import CachedTeacher
from kdrun.teachers.teacher import Teacher, lower_weights

CPU = torch.device("cpu")


def teacher_of(arch, size=16):
    torch.manual_seed(0)
    model = build_model(arch, num_classes=10, in_channels=3, image_size=size)
    images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    normalizer = Normalizer((0.5,) * 3, (0.25,) * 3)
    bf16 = partial(autocast, CPU, "bf16")
    return Teacher(arch, "", model, normalizer, bf16, images), normalizer(images)


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        *(("resnet8", 16), ("mlp", 16), ("resnet18", 32), ("mobilenet_v3_small", 32)),
        *(("vit_b_16", 224), ("swin_v2_t", 64), ("convnext_tiny", 32), ("squeezenet1_1", 64)),
    ],
)
def test_weights_of_the_lower_type_give_what_autocast_gives(arch, size, monkeypatch):
    monkeypatch.setattr("kdrun.teachers.teacher.fuse", lambda *given: None)  # as on other devices
    teacher, images = teacher_of(arch, size)
    monkeypatch.setattr("kdrun.teachers.teacher.lower_weights", lambda model, dtype: None)
    teacher.watch()
    expected = teacher.outputs(images).logits
    monkeypatch.setattr("kdrun.teachers.teacher.lower_weights", lower_weights)
    teacher.watch()
    lowered = {
        module.weight.dtype
        for module in teacher.observed._forward.modules()
        if type(module) in (torch.nn.Linear, torch.nn.Conv2d)
    }
    assert lowered == {torch.bfloat16}
    assert torch.equal(teacher.outputs(images).logits, expected)


def test_students_side_by_side_share_one_copy_of_a_page(tmp_path):
    teacher, _ = teacher_of("mlp")
    room = CacheQuota(tmp_path, 1e9)

    def member():
        cache = TeacherCache(
            room, {}, images=6, rows=6, classes=10, dtype="float32", say=lambda text: None
        )
        return CachedTeacher(teacher, cache, CPU)

    writer = member().cache.writer(0)
    writer.write(torch.arange(6), torch.randn(6, 10))
    writer.close()
    ours, theirs = member(), member()
    ours.open(0)
    theirs.open(0)
    assert ours.page is not None
    assert ours.page is theirs.page
    assert ours.page.whole
    ours.close()
    theirs.close()
    assert len(teacher.pages) == 0


@pytest.mark.parametrize("one_order", [False, True])
def test_a_page_is_whole_to_passes_that_all_leave_the_same_image_out(tmp_path, one_order):
    teacher, _ = teacher_of("mlp")
    cache = TeacherCache(
        CacheQuota(tmp_path, 1e9), {}, images=7, rows=6, classes=10, dtype="float32", say=print
    )
    logits = torch.randn(6, 10)
    writer = cache.writer(0)
    writer.write(torch.arange(6), logits)
    writer.close()
    member = CachedTeacher(teacher, cache, CPU, one_order)
    member.open(0)
    assert member.page.whole == one_order
    assert torch.equal(member.page.rows(torch.tensor([4, 2])), logits[[4, 2]])
    assert one_order or member.page.rows(torch.tensor([4, 6])) is None
