"""Learning-rate schedules as functions of the step, and the optimizers."""

import pytest
import torch

from kdrun.training.optimizer import build_optimizer, clip_gradients, set_learning_rate


def trained(overflow=False, momentum=0.9):
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50))
    optimizer = build_optimizer(
        "sgd", [parameter], lr=0.05, momentum=momentum, nesterov=True, weight_decay=5e-4
    )
    scaler = torch.amp.GradScaler("cpu")
    for step in range(4):
        scaler.scale((parameter**2).mean()).backward()
        if overflow and step == 0:
            parameter.grad[5] = float("inf")
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return parameter.detach()


def test_an_overflow_in_the_first_update_leaves_no_garbage_in_the_momentum():
    torch.use_deterministic_algorithms(True)  # memory without a value is then filled with nan
    try:
        assert trained(overflow=True).isfinite().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_momentum_is_torchs():
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50))
    options = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimizer = torch.optim.SGD([parameter], **options)
    for _ in range(4):
        (parameter**2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(trained(), parameter.detach())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_an_optimizer_lowers_a_quadratic_and_takes_a_new_rate(name):
    parameter = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = build_optimizer(
        name, [parameter], lr=1.0, momentum=0.0, nesterov=True, weight_decay=0.0
    )
    set_learning_rate(optimizer, 0.25)
    (parameter**2).sum().backward()
    optimizer.step()
    assert parameter.item() == pytest.approx({"sgd": 3 - 0.25 * 6, "adamw": 3 - 0.25}[name])


def test_clipping_scales_the_gradients_to_the_norm():
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.full((2,), 3.0)
    assert clip_gradients(parameters, 1.5).item() == pytest.approx(6.0)
    assert torch.cat([p.grad for p in parameters]).norm().item() == pytest.approx(1.5, rel=1e-5)
