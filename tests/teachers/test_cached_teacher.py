"""Training on stored teacher outputs: the very result of training on live ones."""

import re

import pytest
import torch
from safetensors.torch import load_file

from kdrun.errors import ConfigError, OutputError
from kdrun.runs.runner import run
from kdrun.store.files import read_json_lines
from kdrun.teachers.teacher import Teacher

QUICK = (
    *("analysis=off",),  # a page for each run would take longer than the runs
    *("teacher=convnet", "teacher.width=8", "student=mlp", "student.width=16", "train.device=cpu"),
    *("train.epochs=2", "dataset.limit=700", "teacher.min_accuracy=0", "chain.control=false"),
)


@pytest.fixture
def do(make_config, tmp_path):
    """Run with the overrides; returns the folder."""
    count = iter(range(100))

    def do(*overrides, root="outputs"):
        folder = tmp_path / root / f"run{next(count)}"
        run(make_config(*QUICK, f"output_root={tmp_path / root}", *overrides), folder, overrides)
        return folder

    return do


@pytest.fixture
def asked(monkeypatch):
    """Counts the images that teachers are asked about."""
    count = [0]
    outputs = Teacher.outputs

    def counted(teacher, images):
        count[0] += len(images)
        return outputs(teacher, images)

    monkeypatch.setattr(Teacher, "outputs", counted)
    return count


def student(folder):
    (stage,) = folder.glob("stages/*-student-*")
    return load_file(stage / "best.safetensors")


def losses(folder):
    lines = read_json_lines(folder / "metrics.jsonl")
    return [line["loss"] for line in lines if line["role"] == "student"]


def same(a, b):
    ours, theirs = student(a), student(b)
    return all(torch.equal(ours[name], theirs[name]) for name in ours) and losses(a) == losses(b)


VARIANTS = [
    (),
    ("train.precision=bf16",),
    ("loss=dkd",),
    ("loss=mimic", "train.precision=bf16", "teacher.ensemble=[mlp]"),
    ("loss=standardized", "train.precision=bf16"),
    ("temperature=learned",),
    ("train.mixup=0.5",),
    ("train.cutmix=1.0", "train.accumulate=2"),
    ("teacher.ensemble=[mlp]",),
    ("train.batch_size=90",),
    ("train.batch_size=629",),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
def test_cached_training_equals_live_training_bit_for_bit(do, asked, variant):
    live = do("cache.mode=off", *variant, root="live")
    do(*variant, "loss.alpha=0.5")  # fills the pages
    asked[0] = 0
    cached = do(*variant)
    # A single image left over by a pass has no row; 630 training images leave one of 629.
    assert asked[0] == 0
    assert same(live, cached)


@pytest.mark.parametrize("encoding", [("float16", "null"), ("float16", "3"), ("float32", "3")])
def test_a_lossy_cache_gives_one_result_whether_filled_or_found(do, asked, encoding):
    dtype, topk = encoding
    fp32 = "train.precision=fp32"  # what bf16 computes, float16 holds without rounding
    on = (fp32, "cache.mode=on", f"cache.dtype={dtype}", f"cache.topk={topk}")
    first = do(*on, root="one")
    do(*on, "loss.alpha=0.5", root="two")
    asked[0] = 0
    second = do(*on, root="two")
    assert asked[0] == 0
    assert same(first, second)
    live = do(fp32, "cache.mode=off", root="live")
    assert not same(first, live)
    assert losses(first) == pytest.approx(losses(live), rel=0.2)


def test_views_are_taken_in_turn_and_computed_once(do, asked):
    asked[0] = 0
    do("cache.views=2", "train.epochs=6")
    assert asked[0] == 2 * 630


def test_with_limited_views_the_order_of_the_images_is_still_new_every_epoch(do):
    limited, free = do("cache.views=1", "train.epochs=3"), do("train.epochs=3")
    assert losses(limited)[0] == losses(free)[0]
    assert losses(limited)[1] != losses(free)[1]


def test_auto_stores_nothing_where_not_all_views_fit_and_says_so(do, tmp_path, capsys):
    do("cache.max_gb=0.00003")
    assert not (tmp_path / "outputs" / "cache").exists()
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("teacher outputs are not stored but computed every epoch: ") == 1
    do(re.search(r"set (cache\.max_gb=\S+), or", said)[1], root="other")
    assert "not stored" not in capsys.readouterr().out


def test_a_loss_that_looks_inside_the_teacher_has_no_cache(do, tmp_path):
    cnn = ("student=convnet", "student.width=4")
    do("loss=[kd,rkd]", *cnn)
    assert not (tmp_path / "outputs" / "cache").exists()
    with pytest.raises(ConfigError, match=r"cache\.mode=on: .* looks inside"):
        do("loss=[kd,rkd]", *cnn, "cache.mode=on")


def test_top_k_and_raw_logits_do_not_go_together(do):
    with pytest.raises(ConfigError, match=r"cache\.topk: keeps probabilities"):
        do("loss=mimic", "cache.mode=on", "cache.topk=3")


def test_check_recomputes_a_batch_and_notices_another_teacher(do, monkeypatch):
    do("loss.alpha=0.5")
    do("cache.check=true", "loss.alpha=0.6")
    outputs = Teacher.outputs

    def other(teacher, images):
        seen = outputs(teacher, images)
        return seen._replace(logits=seen.logits + torch.arange(10.0))

    monkeypatch.setattr(Teacher, "outputs", other)
    do("loss.alpha=0.7")
    with pytest.raises(OutputError, match="differ from the teacher's current outputs"):
        do("cache.check=true", "loss.alpha=0.8")


def test_a_page_with_a_changed_bit_is_told_and_computed_again(do, tmp_path, asked):
    live = do("cache.mode=off", root="live")
    do("loss.alpha=0.5")
    page = max((tmp_path / "outputs" / "cache").rglob("*"), key=lambda p: p.stat().st_size)
    content = bytearray(page.read_bytes())
    content[len(content) // 2] ^= 1
    page.write_bytes(content)
    asked[0] = 0
    folder = do()
    assert asked[0] == 630
    assert "damaged" in (folder / "run.log").read_text()
    assert same(live, folder)
