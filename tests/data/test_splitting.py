import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdrun.data.source import Images, Source
from kdrun.data.splitting import SplitOptions, divide, stratified, with_noise
from kdrun.errors import DataError

label_arrays = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array)


def numbered(labels):
    """Images whose only pixel is their own number, so that they can be told apart."""
    labels = np.asarray(labels)
    return Images(np.arange(len(labels)), labels)


def make_source(train=100, test=40, classes=5, validation=None):
    return Source(
        train=numbered(np.arange(train) % classes),
        validation=None if validation is None else numbered(np.arange(validation) % classes),
        test=numbered(np.arange(test) % classes),
        class_names=tuple("abcdefghij"[:classes]),
    )


def rules(limit=None, val_fraction=0.0, label_noise=0.0, seed=0):
    return SplitOptions(limit, val_fraction, label_noise, seed)


@settings(deadline=None)
@given(label_arrays, st.data())
def test_a_stratified_draw_keeps_every_share_to_within_one_image(labels, data):
    count = data.draw(st.integers(0, len(labels)))
    places = stratified(labels, count, np.random.default_rng(0))
    assert len(set(places.tolist())) == count
    assert np.array_equal(places, np.sort(places))
    sizes, drawn = np.bincount(labels), np.bincount(labels[places], minlength=labels.max() + 1)
    assert np.all(np.abs(drawn - sizes * count / len(labels)) < 1)


def test_every_image_of_a_class_is_as_likely_to_be_drawn():
    labels = np.array([0] * 10 + [1] * 30)
    counts = sum(
        np.bincount(stratified(labels, 8, np.random.default_rng(seed)), minlength=40)
        for seed in range(2000)
    )
    assert np.all(np.abs(counts / 2000 - 0.2) < 0.05)


@settings(deadline=None)
@given(label_arrays, st.floats(0, 0.99), st.integers(0, 2**53))
def test_noise_changes_exactly_its_fraction_of_the_labels(labels, fraction, seed):
    noisy = with_noise(labels, 5, fraction, seed)
    assert (noisy != labels).sum() == round(fraction * len(labels))
    assert noisy.min() >= 0
    assert noisy.max() < 5


def test_noise_is_symmetric():
    noisy = with_noise(np.zeros(40_000, np.int64), 5, 0.5, 0)
    assert np.bincount(noisy) == pytest.approx([20_000] + [5000] * 4, rel=0.05)


@settings(deadline=None)
@given(st.integers(25, 120), st.floats(0.25, 0.7), st.integers(0, 2**53))
def test_training_and_validation_are_all_of_the_training_images(count, fraction, seed):
    source = make_source(train=count)
    parts = divide("x", source, rules(val_fraction=fraction, seed=seed))
    assert len(parts.validation.labels) == round(fraction * count)
    both = np.concatenate([parts.train.pixels, parts.validation.pixels])
    assert np.array_equal(np.sort(both), np.arange(count))
    for part in (parts.train, parts.validation):
        assert np.array_equal(part.labels, source.train.labels[part.pixels])


@settings(deadline=None)
@given(st.integers(10, 99))
def test_a_limit_holds_before_the_validation_split_and_for_the_test(limit):
    parts = divide("x", make_source(), rules(limit=limit, val_fraction=0.5))
    assert len(parts.train.labels) + len(parts.validation.labels) == limit
    assert len(parts.test.labels) == min(limit, 40)


def test_the_seed_chooses_training_and_validation_but_not_the_test():
    one, again, other = (
        divide("x", make_source(), rules(limit=30, val_fraction=0.4, seed=seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one.train.pixels, again.train.pixels)
    assert np.array_equal(one.validation.pixels, again.validation.pixels)
    assert not np.array_equal(one.train.pixels, other.train.pixels)
    assert not np.array_equal(one.validation.pixels, other.validation.pixels)
    assert np.array_equal(one.test.pixels, other.test.pixels)


def test_noise_leaves_validation_and_test_labels_clean():
    source = make_source()
    clean = divide("x", source, rules(val_fraction=0.3))
    noisy = divide("x", source, rules(val_fraction=0.3, label_noise=0.5))
    assert np.array_equal(noisy.train.pixels, clean.train.pixels)
    assert (noisy.train.labels != clean.train.labels).sum() == 35
    assert np.array_equal(noisy.validation.labels, clean.validation.labels)
    assert np.array_equal(noisy.test.labels, clean.test.labels)


def test_a_validation_part_that_came_along_is_used_instead_of_a_split():
    parts = divide("x", make_source(validation=25), rules(val_fraction=0.1, limit=20))
    assert len(parts.train.labels) == 20
    assert len(parts.validation.labels) == 20
    assert divide("x", make_source(validation=25), rules()).validation is None


@pytest.mark.parametrize(
    ("given_rules", "fault"),
    [
        (rules(limit=4), "x: training images: none of 4 is of class '.', .* dataset.limit=4"),
        (rules(limit=20, val_fraction=0.1), "makes 18 training and 2 validation images, too few"),
        (rules(limit=20, val_fraction=0.9), "makes 2 training and 18 validation images, too few"),
    ],
)
def test_too_few_images_are_refused_with_the_remedy(given_rules, fault):
    with pytest.raises(DataError, match=fault) as caught:
        divide("x", make_source(), given_rules)
    assert "raise dataset.limit" in str(caught.value)


def test_a_class_missing_from_the_test_is_named():
    source = make_source(test=4)
    with pytest.raises(
        DataError, match=r"x: test images: none of 4 is of class 'e', .*; add some$"
    ):
        divide("x", source, rules())


def of_classes(*sizes):
    return Source(
        train=numbered(np.repeat(np.arange(len(sizes)), sizes)),
        validation=None,
        test=numbered(np.arange(len(sizes))),
        class_names=tuple("abcdefghij"[: len(sizes)]),
    )


def test_one_training_image_of_a_class_suffices_without_a_split():
    source = of_classes(12, 12, 1)
    assert len(divide("x", source, rules()).train.labels) == 25
    with_validation = replace(source, validation=numbered(np.arange(3)))
    parts = divide("x", with_validation, rules(val_fraction=0.1))
    assert np.bincount(parts.train.labels).tolist() == [12, 12, 1]
    assert len(parts.validation.labels) == 3


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.floats(0.01, 0.99))
def test_a_split_of_rare_classes_keeps_each_in_training_or_proposes_a_share_that_does(
    sizes, fraction
):
    source = of_classes(*sizes)
    try:
        parts = divide("x", source, rules(val_fraction=fraction))
    except DataError as error:
        proposed = re.search(r"; set dataset\.val_fraction=([0-9.]+), or", str(error))
        if proposed is None:
            return
        parts = divide("x", source, rules(val_fraction=float(proposed[1])))
    assert np.bincount(parts.train.labels, minlength=len(sizes)).min() >= 1
    assert np.array_equal(
        np.bincount(parts.train.labels)
        + np.bincount(parts.validation.labels, minlength=len(sizes)),
        sizes,
    )
    missing = set(range(len(sizes))) - set(parts.validation.labels.tolist())
    assert all(f"'{'abcdefghij'[one]}'" in "".join(parts.notes) for one in sorted(missing)[:3])
    assert bool(missing) == ("no validation image" in "".join(parts.notes))


def test_a_class_of_one_image_that_cannot_be_split_is_named_with_the_ways_out():
    with pytest.raises(DataError) as caught:
        divide("x", of_classes(1, 1, 1), rules(val_fraction=0.2))
    assert str(caught.value) == (
        "x: dataset.val_fraction=0.2 makes 2 training and 1 validation images, too few for 3 "
        "classes (class 'a' has 1); add images or a validation part, or set dataset.val_fraction=0"
    )


def test_noise_is_told_with_the_labels_that_stay_clean():
    parts = divide("x", make_source(), rules(val_fraction=0.3, label_noise=0.5))
    (line,) = parts.notes
    assert line.startswith("35 of 70 training labels are replaced")
    assert "validation and test labels stay clean, and the best epoch" in line
    (line,) = divide("x", make_source(), rules(label_noise=0.5)).notes
    assert line.endswith("; test labels stay clean")
    assert divide("x", make_source(), rules(val_fraction=0.3)).notes == ()


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9))
def test_whatever_is_divided_has_every_class_or_is_refused(classes, train, limit, fraction):
    source = make_source(train=train, classes=classes)
    try:
        parts = divide("x", source, rules(limit=limit, val_fraction=fraction))
    except DataError:
        return
    assume(parts.validation is not None)
    for part in (parts.train, parts.validation, parts.test):
        assert set(part.labels.tolist()) == set(range(classes))
