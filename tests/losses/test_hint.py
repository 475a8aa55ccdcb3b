import pytest
import torch

from kdrun.losses import hint_loss


def test_hint_is_the_squared_difference_averaged_or_summed():
    student = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 2.0], [1.0, 7.0]])
    assert hint_loss(student, teacher, "sum").item() == 1 + 0 + 4 + 9
    loss = hint_loss(student, teacher)
    loss.backward()
    assert loss.item() == 14 / 4
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 2)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="unknown reduction 'none'"):
        hint_loss(torch.zeros(2, 3), torch.zeros(2, 3), "none")


def test_hint_of_feature_maps_pools_the_larger_to_the_smaller():
    student, teacher = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    pooled = student.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(hint_loss(student, teacher), (pooled - teacher).square().mean())
    torch.testing.assert_close(hint_loss(teacher, student), (pooled - teacher).square().mean())
