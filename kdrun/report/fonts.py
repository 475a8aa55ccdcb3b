"""Fonts of figures, for the scripts that matplotlib's own font lacks."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans CJK TC",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans",
    "Source Han Sans SC",
    "Droid Sans Fallback",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "IPAGothic",
    "IPAexGothic",
    "TakaoGothic",
    "NanumGothic",
    "PingFang SC",
    "Hiragino Sans",
    "Hiragino Sans GB",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "SimHei",
    "Yu Gothic",
    "MS Gothic",
    "Malgun Gothic",
    "Nirmala UI",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Noto Sans Hebrew",
    "Noto Sans Arabic",
    "Unifont",
    "FreeSans",
)
"""Fonts with glyphs that the usual one lacks, on Linux, macOS and Windows, if installed."""


@cache
def installed_fallbacks() -> tuple[str, ...]:
    """The `FALLBACKS` that are installed; matplotlib complains about others in every figure."""
    from matplotlib.font_manager import fontManager  # noqa: PLC0415

    names = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in names)


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Log nothing of fonts in the block, such as that a fallback has no bold face."""
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
