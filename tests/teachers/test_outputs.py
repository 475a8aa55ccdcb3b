"""Outputs of teachers: none, one live teacher, several."""

import torch

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.teachers.outputs import LiveTeachers, NoTeachers
from tests.teachers.test_teacher import teacher_of


def views_of(images):
    return Views(Batch(images, torch.zeros(len(images), dtype=torch.long), torch.arange(4)), None)


def test_live_outputs_are_those_of_each_teacher_for_the_same_images():
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    (first, _), (second, _) = teacher_of("mlp"), teacher_of("convnet")
    expected = [teacher.outputs(teacher.normalizer(images)).logits for teacher in (first, second)]
    alone = LiveTeachers([first])(views_of(images))
    assert torch.equal(alone.logits, expected[0])
    assert alone.ensemble == ()
    both = LiveTeachers([first, second])(views_of(images))
    assert torch.equal(both.logits, expected[0])
    assert all(map(torch.equal, both.ensemble, expected))


def test_without_teachers_there_are_no_outputs():
    images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    teachers = NoTeachers()
    with teachers.view(3):
        assert teachers(views_of(images)) is None
    teachers.save()
