from kdrun.config.loss_mixture import mixture, needs_teacher, term_weights


def test_effective_weights_are_alpha_and_its_complement(make_config):
    loss = make_config("loss.alpha=0.3").loss
    assert term_weights(loss) == {"soft": 0.3, "hard": 0.7}
    assert mixture(loss) == "0.3 kl(T=4) + 0.7 cross-entropy"


def test_given_weights_replace_alpha(make_config):
    loss = make_config("loss.weights.soft=9", "loss.weights.hard=0.1").loss
    assert term_weights(loss) == {"soft": 9, "hard": 0.1}


def test_only_a_mixture_with_a_soft_term_needs_a_teacher(make_config):
    assert needs_teacher(make_config("loss.alpha=1").loss)
    assert not needs_teacher(make_config("loss=none").loss)
