"""The hot loop against plain loops written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.normalizer import Normalizer
from kdrun.device import seed_generators
from kdrun.errors import NumericError
from kdrun.losses.label import LabelTerm
from kdrun.losses.term import Outputs
from kdrun.teachers.outputs import NoTeachers
from kdrun.training.evaluate import evaluate
from kdrun.training.interleaving import run_to_end
from kdrun.training.loop import LoopSettings, train_epoch
from kdrun.training.meters import GRADIENT, TEACHER, EpochMeters, NonBlockingReader
from kdrun.training.objective import Objective
from kdrun.training.state import TrainState
from tests.losses.make_term import logit_term

CPU = torch.device("cpu")
NO_TEACHERS = NoTeachers()


def batches(count=5, size=8, last=None):
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(
            torch.randint(0, 256, (n, 1, 4, 4), generator=generator, dtype=torch.uint8),
            torch.randint(0, 3, (n,), generator=generator),
            torch.arange(n),
        )
        for n in [*[size] * (count - 1), last or size]
    ]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def training_of(model, objective, lr=0.1):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainState(
        model,
        objective,
        optimizer,
        scaler,
        None,
        EpochMeters(objective.weights, CPU, (TEACHER, GRADIENT)),
    )


def recipe_of(model, *, accumulate=1, teachers=NO_TEACHERS, lr=0.1, max_skipped=None):
    return LoopSettings(
        seed=0,
        device=CPU,
        precision="fp32",
        accumulate=accumulate,
        grad_clip=None,
        max_skipped=max_skipped,
        learning_rate=lambda update: lr,
        temperature=lambda epoch: 4.0,
        normalizer=Normalizer((0.5,), (0.25,)),
        student=lambda images: Outputs(model(images)),
        teachers=teachers,
        mix=None,
        views=Views,
    )


class Saying(NoTeachers):
    """A teacher whose outputs for views are a function's."""

    def __init__(self, outputs):
        self.outputs = outputs

    def __call__(self, views):
        return self.outputs(views)


def run(model, data, **options):
    objective = Objective({"hard": LabelTerm()}, {"hard": 1.0})
    training = training_of(model, objective)
    complete = run_to_end(
        train_epoch(
            training, recipe_of(model, **options), iter(data), len(data), lambda images, means: True
        )
    )
    assert complete
    return training


def inputs(batch):
    return (batch.images.float() / 255 - 0.5) / 0.25


def test_without_a_teacher_an_epoch_is_a_plain_training_loop():
    model, plain, data = network(), network(), batches()
    run(model, data)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for batch in data:
        optimizer.zero_grad()
        F.cross_entropy(plain(inputs(batch)), batch.labels).backward()
        optimizer.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("accumulate", [2, 5, 7])
def test_accumulation_steps_on_the_mean_gradient_of_all_its_images(accumulate):
    model, plain, data = network(), network(), batches(last=3)
    training = run(model, data, accumulate=accumulate)
    assert training.update == -(-len(data) // accumulate)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for start in range(0, len(data), accumulate):
        group = data[start : start + accumulate]
        optimizer.zero_grad()
        logits = torch.cat([plain(inputs(batch)) for batch in group])
        F.cross_entropy(logits, torch.cat([batch.labels for batch in group])).backward()
        optimizer.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_totals_are_means_over_images_of_every_raw_term():
    model, data = network(), batches(count=3)
    teacher = network(1)
    objective = Objective(
        {"soft": logit_term("kl"), "hard": LabelTerm()}, {"soft": 0.9, "hard": 0.1}
    )
    training = training_of(model, objective, lr=0.0)
    says = Saying(lambda views: Outputs(teacher(inputs(views.batch)).detach()))
    settings = recipe_of(model, lr=0.0, teachers=says)
    run_to_end(train_epoch(training, settings, iter(data), len(data), lambda images, means: True))
    means = training.totals.means(training.totals.sums.tolist())
    hard = sum(F.cross_entropy(model(inputs(b)), b.labels) for b in data) / 3
    correct = sum((model(inputs(b)).argmax(1) == b.labels).sum() for b in data) / 24
    assert means["hard"] == pytest.approx(hard.item(), rel=1e-6)
    assert means["correct"] == pytest.approx(correct.item())
    assert means["total"] == pytest.approx(0.9 * means["soft"] + 0.1 * means["hard"], rel=1e-6)
    assert sum(training.shares.values()) == pytest.approx(1)


def test_a_report_that_says_no_stops_after_the_update():
    model, data = network(), batches()
    objective = Objective({"hard": LabelTerm()}, {"hard": 1.0})
    training = training_of(model, objective)
    complete = run_to_end(
        train_epoch(training, recipe_of(model), iter(data), len(data), lambda images, means: False)
    )
    assert not complete
    assert (training.update, training.batch) == (1, 1)


def test_a_loss_that_is_not_finite_never_reaches_the_weights_on_a_cpu():
    model, data = network(), batches()
    before = [parameter.clone() for parameter in model.parameters()]
    objective = Objective({"hard": LabelTerm()}, {"hard": 1.0})
    training = training_of(model, objective)
    settings = recipe_of(model)
    broken = Outputs(torch.full((8, 3), float("nan"), requires_grad=True))
    settings = LoopSettings(**(vars(settings) | {"student": lambda images: broken}))
    with pytest.raises(NumericError, match="loss term hard is not finite in epoch 1, update 1 of"):
        run_to_end(
            train_epoch(training, settings, iter(data), len(data), lambda images, means: True)
        )
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_evaluation_weights_batches_by_their_size():
    model, data = network(), [*batches(2, 8), *batches(1, 3)]
    result = evaluate(lambda batch: model(inputs(batch)), data, CPU)
    logits = torch.cat([model(inputs(batch)) for batch in data])
    labels = torch.cat([batch.labels for batch in data])
    assert result.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert result.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


@pytest.mark.parametrize("seed", [0, 12_345, 2**63 - 1])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_seeding_gives_the_numbers_of_torch_manual_seed(device, seed):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(seed)
    expected = [torch.rand(3), torch.rand(3, device=device)]
    seed_generators(seed, torch.device(device))
    for values in expected:
        assert torch.equal(torch.rand(3, device=values.device), values)


def test_on_a_cpu_the_reader_gives_the_value_of_the_moment():
    sums = torch.tensor([1.0, 2.0])
    reader = NonBlockingReader(CPU)
    assert reader.poll(sums) == [1.0, 2.0]
    sums += 1
    assert reader.poll(sums) == [2.0, 3.0]
