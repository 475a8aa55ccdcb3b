import torch

import kdrun.analysis
from kdrun.analysis import (
    agreement,
    brier_score,
    calibration_temperature,
    entropy,
    linear_cka,
    temperature_curve,
)
from tests.analysis.draws import labels, logits, probs


def test_all_lists_what_the_package_offers_in_order():
    names = kdrun.analysis.__all__
    assert names == sorted(names)
    assert all(hasattr(kdrun.analysis, name) for name in names)


def test_measuring_takes_no_gradient_and_changes_no_input():
    z = logits(1, dtype=torch.float32).requires_grad_()
    before = z.detach().clone()
    p = torch.softmax(z, 1)
    results = [
        agreement(p, p),
        brier_score(p, labels(1)),
        calibration_temperature(z, labels(1)),
        linear_cka(z, p),
        temperature_curve(z, [2.0]).mean_entropy[0],
    ]
    assert all(isinstance(result, float) for result in results)
    assert not entropy(p).requires_grad
    assert torch.equal(z.detach(), before)


def test_float32_inputs_are_measured_as_their_float64_values():
    rows = probs(2, dtype=torch.float32)
    assert brier_score(rows, labels(2)) == brier_score(rows.double(), labels(2))
