"""The page of a run: complete, alone, and safe against what is written in a stranger's run."""

import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.report import run_page
from kdrun.report.figure import COLOURS, WIDTH, colours
from kdrun.report.heat_map import legible_on
from kdrun.report.page_tables import chosen_note, noise_note
from kdrun.report.run_page import what_taught, write_report
from kdrun.runs.runner import run
from kdrun.store.files import read_sealed
from tests.report.sealing import seal_again

HOSTILE = "</svg><script>alert(1)</script><img src=x onerror=alert(2)>\"'$\\frac$"
STEERING = "\x1b[2J\x9b\u202e\u2066\x07"

# Of these nothing closes, so that they do not count where nesting does.
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements with their attributes; checks that they nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder):
    return Page(write_report(folder).read_text())


def test_a_run_ends_with_a_page_and_its_figures_as_files(finished_run):
    assert (finished_run / "report.html").stat().st_size < 2_000_000
    names = {path.name for path in (finished_run / "plots").iterdir()}
    for plot in ("accuracy", "losses", "temperature", "reliability", "dark-knowledge", "layers",
                 "class-similarity", "gradients", "confusions-teacher"):  # fmt: skip
        assert {f"{plot}.png", f"{plot}.svg"} <= names
        svg = ElementTree.parse(finished_run / "plots" / f"{plot}.svg").getroot()
        assert svg.tag.endswith("svg")
        assert (finished_run / "plots" / f"{plot}.png").read_bytes()[:4] == b"\x89PNG"


def assert_alone_and_inert(page):
    """No script, no handler, nothing fetched."""
    assert not page.all("script")
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "form", "base")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value.startswith(("#", "data:")), (tag, value)
            assert "url(http" not in (value or "")


def test_the_page_stands_alone_and_is_marked_up_for_everyone(altered):
    page = page_of(altered())
    assert_alone_and_inert(page)
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("header")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert all("scope" in cell for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    regions = [a for _, a in page.elements if a.get("role") == "region"]
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)
    assert len({region["aria-label"] for region in regions}) == len(regions)
    # Each table and each figure lies in a region that scrolls by itself, the page never does.
    assert len(regions) == len(page.all("table")) + len(page.all("figure"))
    pictures = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(pictures) == len(page.all("figure"))
    assert all(len(picture["aria-label"]) > 40 for picture in pictures)
    assert all(image["alt"] for image in page.all("img"))
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    targets = [a["href"][1:] for _, a in page.elements if a.get("href", "").startswith("#")]
    assert set(targets) <= set(identifiers)


def test_every_figure_is_narrow_enough_for_a_phone(finished_run):
    for path in (finished_run / "plots").glob("*.svg"):
        width = ElementTree.parse(path).getroot().get("viewBox").split()[2]
        assert float(width) == pytest.approx(WIDTH * 72)


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_numbers_in_heat_maps_stand_out_on_every_colour(colour):
    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    ink = {"#000000": 0.0, "#ffffff": 1.0}[legible_on(colour)]
    low, high = sorted((ink, luminance(colour)))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_lines_of_one_figure_have_colours_of_their_own():
    stages = [{"role": "generation", "arch": "mlp", "step": step} for step in range(3)]
    stages += [{"role": "control", "arch": "mlp"}, {"role": "teacher", "arch": "mlp"}]
    found = colours([*stages, *stages])
    assert len(set(found.values())) == len(found) == 5
    two = colours([{"role": "teacher", "arch": arch} for arch in ("mlp", "vgg8")])
    assert two["teacher mlp"] == COLOURS["teacher"] != two["teacher vgg8"]


def test_the_page_says_what_the_summary_says(altered):
    folder = altered()
    words = " ".join(" ".join(page_of(folder).text).split())
    summary = read_sealed(folder / "summary.json")
    for stage in summary["stages"]:
        assert f"{stage['accuracy']['test_at_best_validation']:.2%}" in words
    assert "points of test accuracy over the control" in words
    assert "95 % interval" in words


MEANT = "[0-9a-f]{16}|-?inf|nan"
READ = ("status", "kind", "hash", "sha256", "inf", "precision", "test")


def poison(value):
    """Every text in the data replaced, but those that programs read."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            poison(item)
        elif isinstance(item, str) and key not in READ and not re.fullmatch(MEANT, item):
            value[key] = HOSTILE


def steer(value):
    """Put controls and letters that no font has before the names of classes and models."""
    for stage in value["stages"]:
        stage["arch"] = f"{STEERING}\U0001f98a{stage['arch']}"
        stage["class_names"] = [f"{STEERING}\u6771{name}" for name in stage["class_names"]]


def test_no_control_of_a_strangers_run_is_in_its_page_and_figures(altered, recwarn):
    folder = altered(summary=steer)
    (folder / "analysis.json").unlink(missing_ok=True)
    written = [write_report(folder), *(folder / "plots").glob("*.svg")]
    assert len(written) > 1
    texts = [path.read_text() for path in written]
    assert "?[2J????\U0001f98a" in texts[0]
    assert not [sign for sign in STEERING if sign not in "[2J" and any(sign in t for t in texts)]
    assert not [one for one in recwarn if "missing from font" in str(one.message)]


def test_nothing_that_a_strangers_run_says_becomes_markup(altered):
    folder = altered(summary=poison, analysis=poison, environment=poison)
    (folder / "config.yaml").write_text(f"dataset: '{HOSTILE.replace(chr(39), '')}'\n")
    lines = (folder / "metrics.jsonl").read_text().replace('"convnet"', '"<script>x</script>$"')
    (folder / "metrics.jsonl").write_text(lines)
    seal_again(folder)
    page = page_of(folder)
    assert_alone_and_inert(page)
    assert any("<script>alert(1)</script>" in text for text in page.text)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("analysis", lambda content: content.update(models=3)),
        ("analysis", lambda content: content["pairs"][0].pop("splits")),
        ("summary", lambda content: content["stages"][0].update(parameters="many")),
        ("summary", lambda content: content["stages"][0].update(parameters=0)),
        ("summary", lambda content: content.update(stages=[])),
    ],
)
def test_data_of_another_shape_is_refused_in_one_line(altered, name, change):
    with pytest.raises(DamagedError, match=rf"{name}\.json is damaged: ") as raised:
        write_report(altered(**{name: change}))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.yaml"])
def test_a_file_that_was_changed_after_the_run_is_refused(altered, name):
    folder = altered()
    (folder / name).write_text((folder / name).read_text().replace("0.", "1.", 1))
    with pytest.raises(DamagedError, match=f"{name} is damaged: its checksum differs"):
        write_report(folder)


def test_links_are_not_followed(altered, tmp_path):
    folder = altered()
    target = tmp_path / "elsewhere"
    target.mkdir()
    (folder / "plots").rename(tmp_path / "plots")
    (folder / "plots").symlink_to(target)
    with pytest.raises(OutputError, match="link"):
        write_report(folder)
    assert not list(target.iterdir())


def test_validation_accuracies_that_chose_the_epoch_are_marked(altered, finished_run):
    assert (
        "validation accuracies chose the epoch, so on average they are too high"
        in write_report(altered()).read_text()
    )
    for model in read_sealed(finished_run / "analysis.json")["models"]:
        chose = {split: one["chose_epoch"] for split, one in model["splits"].items()}
        assert chose == {"train": False, "validation": True, "test": False}
    given = {"epochs": 0, "accuracy": {"best_validation": 0.9}}
    assert chosen_note([given]) == ""
    assert chosen_note([{"epochs": 2, "accuracy": {"best_validation": None}}]) == ""
    assert chosen_note([given, given | {"epochs": 2}]) != ""


def test_label_noise_that_spares_the_held_out_labels_is_told(make_config, tmp_path):
    words = ("student=mlp", "teacher=mlp", "train.epochs=1", "chain.control=false")
    folder = tmp_path / "run"
    options = (*words, "dataset.label_noise=0.2", "dataset.limit=200", f"output_root={tmp_path}")
    run(make_config(*options, "teacher.min_accuracy=0", "analysis=off"), folder, [])
    page = write_report(folder).read_text()
    told = "0.2 of the training labels are wrong (dataset.label_noise). Validation and test labels"
    assert told in page
    assert noise_note({"dataset": {"label_noise": 0.1, "val_fraction": 0}}).endswith(
        "(dataset.label_noise). Test labels are clean."
    )
    assert noise_note({"dataset": {"label_noise": 0.0}}) == noise_note({}) == ""


def test_only_a_run_with_a_chain_has_a_link_and_a_section_of_that_name(altered):
    folder = altered()
    page = write_report(folder).read_text()
    assert page.count(">From teacher to student<") == 2
    assert ">Chain<" not in page
    shutil.rmtree(folder)
    chained = altered(summary=lambda content: content.update(chain=[{"steps": []}]))
    assert write_report(chained).read_text().count(">Chain<") == 2


def test_a_run_that_was_not_measured_has_a_page_too(altered):
    folder = altered()
    (folder / "analysis.json").unlink()
    words = " ".join(page_of(folder).text)
    assert "kdrun analyze" in words
    assert "Bounds between" not in words


def test_an_unfinished_run_is_refused(altered):
    folder = altered()
    (folder / "summary.json").unlink()
    with pytest.raises(ConfigError, match="not finished"):
        write_report(folder)


def test_a_page_that_fails_costs_a_line_and_not_the_run(make_config, tmp_path, monkeypatch, capsys):
    def fail(*given):
        raise RuntimeError("no ink")

    monkeypatch.setattr(run_page, "render", fail)
    config = make_config(
        "teacher=mlp", "train.epochs=1", "teacher.min_accuracy=0", f"output_root={tmp_path}"
    )
    assert run(config, tmp_path / "run", [])["status"] == "done"
    out = capsys.readouterr().out
    assert "no report: RuntimeError: no ink\n" in out
    assert (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    "override",
    [
        "loss.T=inf",
        "loss=none",
        "loss=logit_mse",
        "dataset.val_fraction=0",
        "teacher.ensemble=[mlp]",
    ],
)
def test_every_kind_of_run_is_measured_and_has_its_page(make_config, tmp_path, capsys, override):
    config = make_config(
        *("teacher=mlp", "teacher.width=16", "student.width=8", "train.epochs=1"),
        *("train.device=cpu", "teacher.min_accuracy=0", f"output_root={tmp_path}", override),
    )
    run(config, tmp_path / "run", [])
    out = capsys.readouterr().out
    assert "no analysis" not in out
    assert "no report" not in out
    assert_alone_and_inert(Page((tmp_path / "run" / "report.html").read_text()))


def test_the_page_of_generations_tells_their_gains_and_ensembles(make_config, tmp_path):
    config = make_config(
        *("chain=born_again", "chain.generations=2", "chain.ensemble_control=true"),
        *("student=mlp", "student.width=8", "train.epochs=1", "train.device=cpu"),
        f"output_root={tmp_path}",
    )
    summary = run(config, tmp_path / "run", [])
    page = (tmp_path / "run" / "report.html").read_text()
    assert_alone_and_inert(Page(page))
    gain = next(
        gain
        for gain in summary["gains"]
        if (gain["over"], gain["split"]) == ("generation 0 mlp", "test")
    )
    ends = (f"{gain[name]:+.2f}".replace("-", "−") for name in ("points", "low", "high"))
    assert "{} [{}, {}]".format(*ends) in page
    for name in ("generation 1", "arithmetic ensemble", "geometric, from labels", "of 1 seed none"):
        assert name in page


def test_the_page_shows_what_those_know_who_taught_the_student():
    head, assistant, together = {"stage": 0}, {"stage": 2}, {"stages": [0, 1]}
    analysis = {"teachers": [head, assistant, together]}
    for other in (assistant, together):
        assert what_taught(analysis, {"other": other | {"role": "any"}}) == other
    assert what_taught(analysis, {"other": {"stage": 3}}) == head  # measured by an older version


def test_what_a_killed_process_left_among_the_figures_is_removed(finished_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots" / ".tmp-1-losses.png").touch()
    write_report(folder)
    assert not list((folder / "plots").glob(".tmp-*"))


def test_negative_numbers_have_a_true_minus(altered):
    def lower(content):
        for model in content["models"]:
            model["gap"]["gap"] = -0.0278

    page = write_report(altered(analysis=lower)).read_text()
    assert "<td>−2.78</td>" in page
    assert "<td>-" not in page
