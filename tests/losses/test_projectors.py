"""Projections between hidden states of unequal width."""

import pytest
import torch
import torch.nn.functional as F

from kdrun.features.inspection import width_of
from kdrun.losses import fit_projection
from kdrun.losses.projectors import FittedProjection, Projector, normalized_rows, rows_of


@pytest.mark.parametrize(
    ("shape", "width"), [((16, 8, 8), 16), ((197, 192), 192), ((64,), 64)], ids=str
)
def test_the_width_of_maps_tokens_and_vectors(shape, width):
    assert width_of(shape) == width
    assert rows_of(torch.zeros(2, *shape)).shape[1] == width


def test_on_maps_the_projector_is_a_1x1_convolution_and_batchnorm():
    torch.manual_seed(0)
    projector, maps = Projector(3, 5), torch.randn(4, 3, 6, 6)
    weight = projector.linear.weight[:, :, None, None]
    expected = F.batch_norm(F.conv2d(maps, weight), None, None, training=True)
    torch.testing.assert_close(projector(maps), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 7, 3), (9, 3)])
def test_tokens_and_vectors_keep_their_shape(shape):
    assert Projector(3, 5)(torch.randn(shape)).shape == (*shape[:-1], 5)


def test_normalised_rows_have_mean_square_one():
    rows = normalized_rows(torch.randn(4, 6, 3, 3) * 50)
    torch.testing.assert_close(rows.square().mean(1), torch.ones(36))


def test_the_fitted_projection_is_the_least_squares_one_over_all_batches():
    torch.manual_seed(0)
    student, teacher = torch.randn(12, 4, 3, 3), torch.randn(12, 6, 3, 3)
    projection = FittedProjection(4, 6)
    sums = projection.sums()
    for part in (slice(0, 5), slice(5, 12)):
        sums.update(normalized_rows(teacher[part]), normalized_rows(student[part]))
    projection.take(sums)
    expected, _ = fit_projection(normalized_rows(teacher), normalized_rows(student))
    torch.testing.assert_close(projection.weight, expected, rtol=1e-4, atol=1e-5)


def test_a_projection_that_exists_is_found_with_nothing_unexplained():
    torch.manual_seed(0)
    teacher = torch.randn(200, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    projection = FittedProjection(6, 6)
    sums = projection.sums()
    sums.update(normalized_rows(teacher), normalized_rows(teacher @ rotation.T))
    assert projection.take(sums) < 1e-5
    torch.testing.assert_close(projection.weight, rotation, rtol=1e-4, atol=1e-4)


def test_the_fitted_projection_is_saved_but_never_trained():
    projection = FittedProjection(4, 6)
    assert "weight" in projection.state_dict()
    assert not list(projection.parameters())
