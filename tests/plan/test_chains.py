"""Plans of chains: who teaches whom, for how long, and what is shared."""

import pytest

from kdrun.catalog.datasets import DATASETS, ImageShape
from kdrun.errors import ConfigError
from kdrun.plan.assistants import ChainSizes
from kdrun.plan.build import build_plan
from kdrun.runs.plan_sizes import chain_sizes, chosen_chain, plan_for
from tests.plan.test_identity import digest

CHAIN = ("teacher=resnet56", "chain=assistants", "student=resnet8")
TWO = (*CHAIN, "chain.assistants=[resnet32,resnet20]")
BORN_AGAIN = ("chain=born_again", "student=resnet8")


def outline(stages):
    return [(s.role, s.model.arch, s.teachers, s.train.epochs) for s in stages]


def test_each_model_is_taught_by_the_one_before_it(make_config):
    stages = build_plan(make_config(*TWO, "train.epochs=5"))
    assert outline(stages) == [
        ("teacher", "resnet56", (), 5),
        ("assistant", "resnet32", (0,), 5),
        ("assistant", "resnet20", (1,), 5),
        ("student", "resnet8", (2,), 5),
        ("direct", "resnet8", (0,), 15),
        ("control", "resnet8", (), 15),
    ]
    assert [stage.step for stage in stages[:4]] == [0, 1, 2, 3]


def test_controls_have_the_epochs_of_the_students_side_with_its_own_options(make_config):
    own = ("chain.stage.1.train.epochs=3", "chain.stage.3.loss.T=2", "chain.stage.0.train.epochs=9")
    stages = build_plan(make_config(*TWO, "train.epochs=5", *own))
    assert [stage.train.epochs for stage in stages] == [9, 3, 5, 5, 13, 13]
    assert [stage.loss.T for stage in stages if stage.teachers] == [4, 4, 2, 2]


def test_an_assistant_is_the_stage_of_every_chain_with_that_prefix_and_of_the_plain_run(
    make_config,
):
    plans = [
        build_plan(make_config(*words))
        for words in (
            (*CHAIN, "chain.assistants=[resnet20]"),
            (*CHAIN, "chain.assistants=[resnet20,resnet14]"),
            ("teacher=resnet56", "student=resnet20"),
        )
    ]
    teachers = {digest(plan[0]) for plan in plans}
    assistants = {digest(plan[1], teachers=["t"]) for plan in plans}
    assert len(teachers) == len(assistants) == 1


def test_all_teachers_of_an_ensemble_teach_the_first_assistant_only(make_config):
    ensemble = ("teacher.ensemble=[resnet44]", "teacher.ensemble_weights=[3,1]")
    stages = build_plan(make_config(*CHAIN, "chain.assistants=[resnet20]", *ensemble))
    assert [(s.role, s.teachers, s.teacher_weights) for s in stages[2:]] == [
        ("assistant", (0, 1), (3, 1)),
        ("student", (2,), ()),
        ("direct", (0, 1), (3, 1)),
        ("control", (), ()),
    ]


def test_generations_have_one_architecture_and_a_seed_each(make_config):
    stages = build_plan(make_config(*BORN_AGAIN, "train.epochs=5", "chain.ensemble_control=true"))
    assert outline(stages) == [
        ("generation", "resnet8", (), 5),
        ("generation", "resnet8", (0,), 5),
        ("generation", "resnet8", (1,), 5),
        ("independent", "resnet8", (), 5),
        ("independent", "resnet8", (), 5),
        ("direct", "resnet8", (0,), 10),
        ("control", "resnet8", (), 10),
    ]
    assert len({stage.train.seed for stage in stages[:3]}) == 3
    labels_only = [stages[0], *stages[3:5]]
    assert len({digest(stage) for stage in labels_only}) == 3


def test_seeds_are_the_stages_of_single_runs_next_to_each_other(make_config):
    several = build_plan(make_config(*TWO, "seeds=[4,7]"))
    for number, seed in enumerate((4, 7)):
        single = build_plan(make_config(*TWO, f"train.seed={seed}"))
        ours = several[number::2]
        assert [stage.seed for stage in ours] == [seed] * len(single)
        assert [digest(stage) for stage in ours] == [digest(stage) for stage in single]
        assert [tuple(i // 2 for i in s.teachers) for s in ours] == [s.teachers for s in single]
        assert all(i % 2 == number for stage in ours for i in stage.teachers)


def test_auto_takes_the_cheapest_chain_of_the_given_sizes(make_config):
    config = make_config("chain=auto", "student=resnet8")
    stages = build_plan(config, ChainSizes(100, 1, {"resnet14": 10, "resnet32": 90}))
    assert [stage.model.arch for stage in stages[:3]] == ["resnet20", "resnet14", "resnet8"]
    direct = build_plan(config, ChainSizes(100, 50, {"resnet14": 70}))
    assert [stage.role for stage in direct] == ["teacher", "student", "control"]


def test_auto_chooses_among_the_teachers_family_by_their_size_on_these_images(make_config):
    words = ("teacher=resnet152", "student=shufflenet_v2_x0_5", "dataset=imagenet", "chain=auto")
    shape = ImageShape(1000, 3, 224)
    sizes = chain_sizes(make_config(*words), shape)
    assert (sizes.teacher, sizes.student) == (60_192_808, 1_366_792)
    assert sizes.candidates["resnet18"] == 11_689_512
    assert set(sizes.candidates) == {"resnet18", "resnet34", "resnet50", "resnet101"}
    assert plan_for(make_config(*words), shape)[1].model.arch == "resnet18"


def test_auto_says_when_it_has_nothing_to_choose_from(make_config):
    with pytest.raises(ConfigError, match="no other sizes of mlp are known"):
        plan_for(
            make_config("chain=auto", "teacher=mlp", "student=convnet"), DATASETS["digits"].shape
        )


def test_options_of_a_stage_that_auto_does_not_make_are_refused(make_config):
    config = make_config("chain=auto", "student=resnet8", "chain.stage.3.loss.T=2")
    with pytest.raises(ConfigError, match=r"chain\.stage\.3: chain=auto chose \[\]"):
        build_plan(config, ChainSizes(100, 50, {}))


def test_what_the_planner_chose_is_told(make_config):
    shape = ImageShape(1000, 3, 224)
    words = ("dataset=imagenet", "chain=auto", "teacher=resnet152")
    chosen = chosen_chain(plan_for(make_config(*words, "student=shufflenet_v2_x0_5"), shape))
    assert chosen == "chain=auto: resnet18 between ('kdrun plan' shows the costs)"
    none = chosen_chain(plan_for(make_config(*words, "student=resnet101"), shape))
    assert none == "chain=auto: no assistant is worth its step ('kdrun plan' shows the costs)"
