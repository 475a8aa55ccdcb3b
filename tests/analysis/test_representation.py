import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import linear_cka, relation_similarity, unexplained_share
from tests.analysis.draws import generator


def features(seed, samples=40, width=6):
    return torch.randn(samples, width, generator=generator(seed)).double()


def rotation(seed, width):
    return torch.linalg.qr(features(seed, width, width)).Q


@given(seed=st.integers(0, 1000), widths=st.sampled_from([(6, 3), (6, 60), (50, 70)]))
@settings(max_examples=25, deadline=None)
def test_cka_is_the_alignment_of_the_centred_kernels(seed, widths):
    x, y = features(seed, width=widths[0]), features(seed + 1, width=widths[1])
    y[:, :3] += x[:, :3]
    centring = np.eye(40) - 1 / 40
    kernels = [centring @ (z @ z.T).numpy() @ centring for z in (x, y)]
    norms = np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1])
    expected = (kernels[0] * kernels[1]).sum() / norms
    assert linear_cka(x, y) == pytest.approx(expected)
    assert linear_cka(y, x) == pytest.approx(expected)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_rotating_scaling_and_moving_changes_no_similarity(seed, scale, shift):
    x, y = features(seed), features(seed + 1, width=4)
    moved = scale * x @ rotation(seed, 6) + shift
    assert linear_cka(moved, y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(moved, x) == pytest.approx(1)
    assert relation_similarity(moved, y) == pytest.approx(relation_similarity(x, y), abs=1e-9)
    assert relation_similarity(moved, x) == pytest.approx(1)
    assert unexplained_share(moved, y) == pytest.approx(unexplained_share(x, y))


def test_a_linear_map_that_is_no_rotation_lowers_cka():
    x = features(1)
    assert linear_cka(x, x * torch.tensor([10.0, 1, 1, 1, 1, 1])) < 0.9


def test_relation_similarity_is_the_correlation_of_the_distances():
    x, y = features(2), features(3, width=9)
    y[:, :6] += x
    pairs = [(i, j) for i in range(40) for j in range(i)]
    distances = [[(z[i] - z[j]).norm().item() for i, j in pairs] for z in (x, y)]
    assert relation_similarity(x, y) == pytest.approx(np.corrcoef(distances)[0, 1])


@pytest.mark.parametrize("width", [3, 60])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3])
def test_features_that_do_not_vary_are_like_nothing(value, width):
    constant, varied = torch.full((40, width), value).double(), features(4)
    assert linear_cka(constant, varied) == linear_cka(varied, constant) == 0
    assert relation_similarity(constant, varied) == 0
    assert unexplained_share(constant, varied) == 1
    assert unexplained_share(varied, constant) == 0


def test_samples_that_are_equally_far_apart_have_no_relations():
    assert relation_similarity(1e6 * torch.eye(6), features(5, samples=6)) == 0


def test_unexplained_share_is_that_of_the_regression_with_intercept():
    teacher, student = features(6) + 5, features(7, width=3) - 2
    student += teacher[:, :3]
    design = np.column_stack([teacher.numpy(), np.ones(40)])
    target = student.numpy()
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    expected = (residual**2).sum() / ((target - target.mean(0)) ** 2).sum()
    assert unexplained_share(teacher, student) == pytest.approx(expected)
    assert unexplained_share(teacher, teacher @ features(8, 6, 3) + 1) == pytest.approx(0, abs=1e-9)


def test_features_that_do_not_fit_are_refused():
    for measure in (linear_cka, relation_similarity, unexplained_share):
        with pytest.raises(ValueError, match="of the same samples"):
            measure(features(9), features(9)[:-1])
        with pytest.raises(ValueError, match=r"features must be \(N, width\)"):
            measure(features(9)[None], features(9))
        with pytest.raises(ValueError, match="features must be finite"):
            measure(features(9), features(9) / 0)
    with pytest.raises(ValueError, match="give at least 3"):
        relation_similarity(features(9)[:2], features(9)[:2])
