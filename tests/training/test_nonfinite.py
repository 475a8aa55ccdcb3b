"""Numbers that are not finite: named, kept from the weights, skipped if asked, saved to look at."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from kdrun.errors import NumericError
from kdrun.losses.label import LabelTerm
from kdrun.losses.term import Outputs
from kdrun.models.build import build_model
from kdrun.runs.runner import run
from kdrun.store.files import read_sealed
from kdrun.training.interleaving import run_to_end
from kdrun.training.loop import train_epoch
from kdrun.training.objective import Objective
from tests.training.test_loop import Saying, batches, recipe_of, training_of


def with_batch_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def train(model, data, bad=(), **options):
    """Train over the batches; the logits of those whose numbers are in `bad` are NaN."""
    calls = iter(range(len(data)))

    def student(images):
        logits = model(images)
        return Outputs(logits * float("nan") if next(calls) in bad else logits)

    training = training_of(model, Objective({"hard": LabelTerm()}, {"hard": 1.0}))
    settings = recipe_of(model, **options)
    settings = type(settings)(**(vars(settings) | {"student": student}))
    run_to_end(train_epoch(training, settings, iter(data), len(data), lambda images, means: True))
    return training


@pytest.mark.parametrize("bad", [{0}, {2}, {1, 4}])
def test_skipping_is_as_if_the_batch_had_not_been(bad):
    data = batches()
    skipped, without = with_batch_norm(), with_batch_norm()
    training = train(skipped, data, bad, max_skipped=2)
    reference = train(without, [batch for i, batch in enumerate(data) if i not in bad])
    assert training.skipped == len(bad)
    assert (training.update, training.batch) == (5, 5)
    for (name, a), (_, b) in zip(
        skipped.state_dict().items(), without.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert torch.equal(training.totals.sums[:-1], reference.totals.sums[:-1])


def test_no_more_updates_are_skipped_than_allowed():
    with pytest.raises(NumericError, match=r"not finite.*after 1 skipped updates"):
        train(with_batch_norm(), batches(), {1, 3}, max_skipped=1)


def test_a_teachers_bad_logits_are_named():
    def teacher(views):
        logits = torch.zeros(len(views.batch.labels), 3)
        logits[0, 0] = float("nan")
        return Outputs(logits)

    with pytest.raises(NumericError, match=r"^teacher logits are not finite in epoch 1, update 1"):
        train(with_batch_norm(), batches(), teachers=Saying(teacher))


def test_a_bad_gradient_of_a_finite_loss_never_reaches_the_weights():
    model = with_batch_norm()
    before = [parameter.clone() for parameter in model.parameters()]
    # The root of zero: its value is finite and its gradient is not.
    weight = next(model.parameters())
    training = training_of(model, Objective({"hard": LabelTerm()}, {"hard": 1.0}))
    settings = recipe_of(model)
    student = lambda images: Outputs(model(images) + (weight - weight).square().sum().sqrt())  # noqa: E731
    settings = type(settings)(**(vars(settings) | {"student": student}))
    with pytest.raises(NumericError, match="the gradient is not finite"):
        run_to_end(train_epoch(training, settings, iter(batches()), 5, lambda images, means: True))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_saved_batch_reproduces_the_failure(make_config, tmp_path):
    config = make_config(
        *("loss=none", "student=mlp", "student.width=8", "train.lr=1000", "train.epochs=20"),
        *("train.warmup_epochs=0", "train.momentum=0.99", "train.precision=fp32"),
        *("train.device=cpu", "dataset.augment=none", f"output_root={tmp_path}"),
    )
    with pytest.raises(NumericError, match=", saved in"):
        run(config, tmp_path / "run", [])
    (folder,) = tmp_path.glob("store/*/nonfinite")
    report, saved = read_sealed(folder / "report.json"), load_file(folder / "batch.safetensors")
    assert saved["indices"].tolist() == report["indices"]
    assert saved["images"].dtype == torch.uint8
    model = build_model("mlp", num_classes=10, in_channels=1, image_size=8, width=8)
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    loss = F.cross_entropy(model(saved["images"].float()), saved["labels"])
    loss.backward()
    numbers = [loss.detach(), *(parameter.grad.norm() for parameter in model.parameters())]
    assert not torch.stack(numbers).isfinite().all()
