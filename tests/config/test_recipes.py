"""Every recipe: what it sets is what its source sets, and the command line still wins."""

import pytest

from kdrun.cli.entry import main
from kdrun.config.loss_mixture import term_weights
from kdrun.config.paths import config_folder, shipped_options
from kdrun.plan.build import build_plan

RECIPES = [name for name in shipped_options("recipe") if name != "none"]

# Effective weights and T of the student's loss, by the papers and their code.
LOSSES = {
    "cifar100/kd": ({"kl": 0.9, "cross_entropy": 0.1}, 4),
    "cifar100/hint": ({"cross_entropy": 1.0, "hint": 100.0}, None),
    "cifar100/attention": ({"cross_entropy": 1.0, "attention": 1000.0}, None),
    "cifar100/rkd": ({"cross_entropy": 1.0, "rkd_distance": 25.0, "rkd_angle": 50.0}, None),
    "cifar100/dkd": ({"dkd": 1.0, "cross_entropy": 1.0}, 4),
    "cifar100/dist": ({"dist": 1.0, "cross_entropy": 1.0}, 4),
    "cifar100/standardized": ({"kl": 9.0, "cross_entropy": 0.1}, 2),
    "cifar100/ta": ({"kl": 0.9, "cross_entropy": 0.1}, 4),
    "cifar100/born_again": ({"kl": 0.5, "cross_entropy": 0.5}, 1),
    "imagenet/kd": ({"kl": 0.5, "cross_entropy": 0.5}, 1),
    "imagenet/dkd": ({"dkd": 1.0, "cross_entropy": 1.0}, 1),
    "imagenet/dist": ({"dist": 1.0, "cross_entropy": 1.0}, 1),
}

# Learning rate, weight decay, batch size, epochs, and the epochs after which the rate falls.
TRAINING = {
    "cifar100": (0.05, 5e-4, 64, 240, [150, 180, 210]),
    "imagenet": (0.2, 1e-4, 512, 100, [30, 60, 90]),
    "imagenet/dist": (0.1, 1e-4, 256, 100, [30, 60, 90]),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_plans(make_config, name):
    config = make_config(f"recipe={name}")
    assert config.recipe == name
    dataset = name.partition("/")[0]
    assert (config.dataset.name, config.dataset.augment) == (dataset, "crop_flip")
    stages = build_plan(config)
    assert stages[-1].role == "control"
    assert stages[0].pretrained == (dataset == "imagenet")


@pytest.mark.parametrize("name", RECIPES)
def test_the_effective_weights_and_the_training_are_the_sources(make_config, name):
    config = make_config(f"recipe={name}")
    weights, T = LOSSES[name]
    assert term_weights(config.loss) == pytest.approx(weights)
    assert T in (None, config.loss.T)
    train = config.train
    falls = [round(share * train.epochs) for share in train.milestones]
    told = (train.lr, train.weight_decay, train.batch_size, train.epochs, falls)
    assert told == TRAINING.get(name, TRAINING[config.dataset.name])
    assert (train.schedule, train.gamma, train.momentum) == ("step", 0.1, 0.9)
    assert (train.nesterov, train.warmup_epochs, train.precision) == (False, 0, "fp32")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_tells_its_source_its_figures_and_its_cost(name):
    text = (config_folder() / "recipe" / f"{name}.yaml").read_text()
    comment = text.partition("\ndefaults:")[0]
    for part in ("Source: ", "Published", "Cost: "):
        assert part in comment


def test_the_command_line_wins_over_a_recipe(make_config):
    config = make_config(
        *("recipe=cifar100/kd", "teacher=resnet56", "student=resnet20", "loss.T=8"),
        *("train=adamw", "dataset=fake", "dataset.val_fraction=0.2"),
    )
    assert (config.teacher.arch, config.student.arch) == ("resnet56", "resnet20")
    assert (config.loss.T, config.loss.alpha) == (8.0, 0.9)
    assert (config.train.optimizer, config.train.epochs) == ("adamw", 25)
    assert (config.dataset.name, config.dataset.val_fraction) == ("fake", 0.2)


def test_a_recipe_and_the_loss_group_compose(make_config):
    config = make_config("recipe=cifar100/kd", "loss=[kd,rkd]")
    expected = {"kl": 0.9, "cross_entropy": 0.1, "rkd_distance": 25.0, "rkd_angle": 50.0}
    assert term_weights(config.loss) == pytest.approx(expected)


def test_recipes_are_listed_shown_and_near_missed(capsys, tmp_path, monkeypatch):
    def told(*words):
        with pytest.raises(SystemExit):
            main(words)
        return capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    help_text = told("--help").out
    assert all(name in help_text for name in RECIPES)
    assert "recipe cifar100/ta" in told("plan", "recipe=cifar100/ta").out
    assert "did you mean 'cifar100/kd'?" in told("plan", "recipe=cifar100/kdd").err
    assert "did you mean 'cifar100/rkd'?" in told("plan", "recipe=rkd").err
