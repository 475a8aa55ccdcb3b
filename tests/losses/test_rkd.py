import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import rkd, rkd_angle_loss, rkd_distance_loss
from tests.losses.reference import looped_angle_sum, looped_distance_sum, wave

BOTH = pytest.mark.parametrize("loss", [rkd_distance_loss, rkd_angle_loss])
TEACHER = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
STUDENT = torch.tensor([[0.0], [1.0], [3.0]])


def features(seed, samples=7, student_width=3, teacher_width=5):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(
        samples, student_width + teacher_width, generator=generator, dtype=torch.float64
    )
    return draw[:, :student_width].contiguous(), draw[:, student_width:].contiguous()


def cosines(x):
    directions = F.normalize(x[None] - x[:, None], dim=2)
    return directions @ directions.transpose(1, 2)


def naive_angle_loss(student, teacher):
    """The mean over distinct triples, by unit vectors and autograd."""
    n = len(student)
    return F.smooth_l1_loss(cosines(student), cosines(teacher), reduction="sum") / (
        n * (n - 1) * (n - 2)
    )


@pytest.mark.parametrize(
    ("loss", "total", "mean", "reference"),
    [(rkd_distance_loss, 0.375, 0.0625, 0.375 / 9), (rkd_angle_loss, 3.24, 0.54, 3.24 / 27)],
)
def test_losses_have_the_worked_values(loss, total, mean, reference):
    assert loss(STUDENT, TEACHER, "sum").item() == pytest.approx(total, rel=1e-6)
    assert loss(STUDENT, TEACHER).item() == pytest.approx(mean, rel=1e-6)
    assert loss(STUDENT, TEACHER, "reference").item() == pytest.approx(reference, rel=1e-6)


def test_distance_loss_agrees_with_the_value_of_another_implementation():
    loss = rkd_distance_loss(wave((6, 8), 1, 0.29), wave((6, 16), 1, 0.17, 0.3), "reference")
    assert loss.item() == pytest.approx(0.0663451806485618)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_losses_are_sums_of_huber_over_distinct_samples(seed):
    student, teacher = features(seed)
    assert rkd_distance_loss(student, teacher, "sum").item() == pytest.approx(
        looped_distance_sum(student, teacher)
    )
    assert rkd_angle_loss(student, teacher, "sum").item() == pytest.approx(
        looped_angle_sum(student, teacher)
    )


@BOTH
def test_gradient_matches_finite_differences(loss):
    student, teacher = features(1)
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), student.requires_grad_())


def test_distance_gradient_matches_that_of_pdist():
    student, teacher = features(2, samples=12)
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    rkd_distance_loss(ours, teacher).backward()
    relative = [F.pdist(x) / F.pdist(x).mean() for x in (theirs, teacher)]
    F.smooth_l1_loss(*relative).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("chunk", [1, 3 * 20 * 20, 2**19])
def test_angle_gradient_matches_that_of_autograd_however_it_is_chunked(chunk, monkeypatch):
    monkeypatch.setitem(rkd.CHUNKS, "cpu", chunk)
    student, teacher = features(3, samples=20)
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    loss, expected = rkd_angle_loss(ours, teacher), naive_angle_loss(theirs, teacher)
    (2 * loss).backward()
    (2 * expected).backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@BOTH
@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_float32_keeps_its_digits_far_from_the_origin(loss, offset):
    student, teacher = features(4, samples=24, student_width=40)
    student = (student + offset).float().requires_grad_()
    exact = student.detach().double().requires_grad_()
    value, expected = loss(student, teacher.float() + offset), loss(exact, teacher)
    value.backward()
    expected.backward()
    torch.testing.assert_close(
        value.double(), expected, rtol=2e-3 if offset == 1e4 else 1e-4, atol=0
    )
    assert F.cosine_similarity(student.grad.double().flatten(), exact.grad.flatten(), 0) > 0.9999


def test_angles_inside_tight_clusters_are_precise_in_float32():
    student, teacher = features(5, samples=24, student_width=16)
    student = torch.arange(24)[:, None] % 4 + 0.01 * student
    student = student.float().requires_grad_()
    exact = student.detach().double().requires_grad_()
    value, expected = rkd_angle_loss(student, teacher.float()), naive_angle_loss(exact, teacher)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    error = (student.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < 1e-4


@BOTH
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.01, 100),
    shift=st.floats(-1e6, 1e6),
)
@settings(max_examples=20, deadline=None)
def test_losses_ignore_moves_turns_and_scale(loss, seed, scale, shift):
    student, teacher = features(seed)
    turn = torch.linalg.qr(features(seed + 1, 3)[0])[0]
    expected = loss(student, teacher)
    torch.testing.assert_close(
        loss(scale * student @ turn + shift, teacher), expected, rtol=1e-5, atol=1e-8
    )


@BOTH
def test_a_copy_of_the_teacher_has_no_loss_and_no_gradient(loss):
    _, teacher = features(6)
    student = teacher.clone().requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-8


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_duplicates_and_collapsed_batches_have_finite_gradients(loss, dtype):
    student, teacher = features(7, samples=6)
    student, teacher = student.to(dtype), teacher.to(dtype)
    with_copies = student.clone()
    with_copies[1] = with_copies[4] = with_copies[0]
    collapsed = (torch.full_like(student, 0.1), torch.zeros_like(student))
    for batch in (with_copies, *collapsed):
        for target in (teacher, batch):
            leaf = batch.clone().requires_grad_()
            # A nan that a later step masks would fail here.
            with torch.autograd.detect_anomaly():
                value = loss(leaf, target)
                value.backward()
            assert torch.isfinite(value)
            assert torch.isfinite(leaf.grad).all()
            assert leaf.grad.abs().max() < 1e3


@pytest.mark.parametrize(("samples", "width"), [(33, 129), (130, 257)])
def test_duplicates_are_known_though_their_products_round_differently(samples, width):
    student, teacher = features(12, samples, width)
    half = samples // 2
    student[half : 2 * half] = student[:half].clone()
    student.requires_grad_()
    rkd_angle_loss(student, teacher).backward()
    assert student.grad.abs().max() < 1e-3


def test_an_arm_between_duplicates_counts_as_a_right_angle():
    student, teacher = features(8, samples=5)
    student[1] = student[0]
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    loss = rkd_angle_loss(ours, teacher)
    loss.backward()
    distinct = 1 - torch.eye(5, dtype=torch.float64)
    difference = (cosines(theirs) - cosines(teacher)) * distinct
    expected = F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="sum") / 60
    torch.testing.assert_close(loss, expected)
    # Autograd divides by 1e-12 at the duplicates; every other sample has the same gradient.
    expected.backward()
    torch.testing.assert_close(ours.grad[2:], theirs.grad[2:])


@pytest.mark.parametrize(
    ("loss", "samples", "least"),
    [(rkd_distance_loss, 1, 2), (rkd_angle_loss, 1, 3), (rkd_angle_loss, 2, 3)],
)
def test_too_few_samples_give_a_differentiable_zero_and_one_warning(loss, samples, least):
    student, teacher = (x.float() for x in features(9, samples=samples))
    student.requires_grad_()
    with pytest.warns(UserWarning, match=f"at least {least} samples") as caught:
        value = loss(student, teacher)
    value.backward()
    assert len(caught) == 1
    assert value.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


@BOTH
def test_enough_samples_warn_of_nothing(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(STUDENT, TEACHER)


@BOTH
def test_samples_must_correspond_and_the_reduction_be_known(loss):
    student, teacher = features(10)
    with pytest.raises(ValueError, match="same samples"):
        loss(student, teacher[:-1])
    with pytest.raises(ValueError, match="same samples"):
        loss(student[:, None], teacher)
    with pytest.raises(ValueError, match="unknown reduction 'none'"):
        loss(student, teacher, "none")


@BOTH
@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e18, 1e25])
def test_scale_changes_neither_the_value_nor_the_direction_of_the_gradient(loss, scale):
    student, teacher = (x.float() for x in features(12))
    given = (student.requires_grad_(), (student.detach() * scale).requires_grad_())
    values = [loss(one, teacher) for one in given]
    for value in values:
        value.backward()
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(given[1].grad * scale, given[0].grad, rtol=1e-3, atol=1e-6)


def test_distance_loss_has_second_derivatives_and_angle_loss_says_that_it_has_none():
    student, teacher = features(13)
    student.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: rkd_distance_loss(x, teacher), student)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(rkd_angle_loss(student, teacher), student, create_graph=True)


def test_angle_loss_needs_no_gradient_to_be_measured():
    student, teacher = features(11)
    with torch.no_grad():
        value = rkd_angle_loss(student, teacher)
    torch.testing.assert_close(value, naive_angle_loss(student, teacher))
