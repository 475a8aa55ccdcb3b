"""Class names of other scripts in figures: text in the SVG, a fallback font in the PNG."""

import logging
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from kdrun.report import fonts
from kdrun.report.figure import finish_plot, house_style, panels, plain

NAME = "猫 → 鳥"


def square(side):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, side), (side, side), (side, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A font named as a fallback, whose glyphs of the class names are filled squares."""
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "cat", "bird"])
    builder.setupCharacterMap({ord("猫"): "cat", ord("鳥"): "bird"})
    builder.setupGlyf({".notdef": square(0), "cat": square(900), "bird": square(900)})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "cat", "bird"), (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Unifont", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=500)
    builder.setupPost()
    builder.save(tmp_path / "fallback.ttf")
    listed = list(font_manager.fontManager.ttflist)
    fonts.installed_fallbacks.cache_clear()
    font_manager.fontManager.addfont(tmp_path / "fallback.ttf")
    yield "Unifont"
    font_manager.fontManager.ttflist = listed
    fonts.installed_fallbacks.cache_clear()


def drawn(tmp_path):
    with house_style():
        figure, (axes,) = panels()
        axes.barh([0], [1], color="white")
        axes.set_yticks([0], [plain(NAME)])
        plot = finish_plot(figure, "x", "title", "alt", "caption")
    (tmp_path / "x.png").write_bytes(plot.png)
    with Image.open(tmp_path / "x.png") as image:
        return plot.svg.decode(), np.asarray(image.convert("L"))


def test_names_of_other_scripts_are_text_and_warn_of_nothing(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(fonts, "FALLBACKS", ())
    fonts.installed_fallbacks.cache_clear()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        svg, _ = drawn(tmp_path)
    fonts.installed_fallbacks.cache_clear()
    assert f">{NAME}</text>" in svg
    assert not caplog.records


def test_an_installed_font_has_the_glyphs_in_the_png(tmp_path, installed, caplog):
    assert installed in fonts.installed_fallbacks()
    with caplog.at_level(logging.WARNING):
        svg, pixels = drawn(tmp_path)
    assert f"'{installed}'" in svg
    assert not caplog.records
    dark = pixels[: len(pixels) * 3 // 4] < 60  # above the numbers of the axis
    rows = dark.sum(1) >= 30  # two filled squares of 9.5 points at 144 dots per inch
    assert 14 <= rows.sum() <= 20


def test_fonts_that_are_not_installed_are_not_asked_for():
    names = {font.name for font in font_manager.fontManager.ttflist}
    assert set(fonts.installed_fallbacks()) <= names
