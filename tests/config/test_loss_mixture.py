import pytest

from kdrun.config.loss_mixture import (
    labels_only,
    mixture,
    needs_teacher,
    term_weights,
    uses_temperature,
)


def test_effective_weights_are_alpha_and_its_complement(make_config):
    loss = make_config("loss.alpha=0.3").loss
    assert term_weights(loss) == {"kl": 0.3, "cross_entropy": 0.7}
    assert mixture(loss) == "0.3 kl(T=4) + 0.7 cross-entropy"


def test_given_weights_replace_alpha(make_config):
    loss = make_config("loss.weights.soft=9", "loss.weights.hard=0.1").loss
    assert term_weights(loss) == {"kl": 9, "cross_entropy": 0.1}


def test_only_a_mixture_with_a_soft_term_needs_a_teacher(make_config):
    assert needs_teacher(make_config("loss.alpha=1").loss)
    assert not needs_teacher(make_config("loss=none").loss)


@pytest.mark.parametrize("presets", ["[kd,dkd]", "[dkd,kd]"])
def test_soft_terms_add_up_in_any_order(make_config, presets):
    loss = make_config(f"loss={presets}").loss
    assert mixture(loss) == "0.9 kl(T=4) + 1 dkd(T=4) + 1 cross-entropy"


def test_a_term_without_a_weight_of_its_own_takes_the_shared_one_else_alpha(make_config):
    words = ("loss=[kd,dkd]", "loss.dkd.weight=null")
    assert term_weights(make_config(*words).loss)["dkd"] == 0.9
    weights = term_weights(make_config(*words, "loss.weights.soft=3").loss)
    assert (weights["kl"], weights["dkd"]) == (3, 3)


def test_loss_soft_is_short_for_one_soft_term_alone(make_config):
    assert mixture(make_config("loss.soft=dkd").loss) == "0.9 dkd(T=4) + 0.1 cross-entropy"
    assert mixture(make_config("loss.soft=none").loss) == "1 cross-entropy"
    assert mixture(make_config("loss.soft=hard").loss).startswith("0.9 teacher_argmax")
    own = make_config("loss.soft=dist", "loss.dist.weight=2", "loss.dist.T=1").loss
    assert mixture(own) == "2 dist(T=1) + 0.1 cross-entropy"


def test_a_term_says_its_own_temperature_and_standardisation(make_config):
    loss = make_config("loss=[kd,dkd]", "loss.dkd.T=2", "loss.kl.standardize=true").loss
    assert mixture(loss, "auto") == ("0.9 standardized kl(T=auto) + 1 dkd(T=2) + 1 cross-entropy")


def test_a_mixture_whose_terms_all_have_their_own_temperature_follows_no_schedule(make_config):
    assert uses_temperature(make_config("loss=[kd,dkd]", "loss.dkd.T=2").loss)
    assert not uses_temperature(make_config("loss=dkd", "loss.dkd.T=2").loss)


def test_the_control_keeps_the_labels_alone_whatever_the_terms(make_config):
    loss = make_config("loss=[kd,dkd,hint,attention,rkd]", "loss.label_smoothing=0.1").loss
    assert mixture(labels_only(loss)) == "1 cross-entropy"
    assert labels_only(loss).label_smoothing == 0.1
