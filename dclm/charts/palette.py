"""The colors and fonts of every page and picture, for light and dark screens.

Text colors have a contrast of at least 4.5 with every background, colors of shapes at least 3 with a panel (WCAG 2.2,
levels AA 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

FONT = "system-ui, sans-serif"
BACKGROUNDS = ("ground", "panel", "alarm", "warn")
"""Colors that text may be placed on."""
TEXTS = ("ink", "soft", "accent", "reject", "good", "bad")
"""Colors of text."""
SHAPES = ("kept", "cut", "other", "reject", "good", "bad", "accent")
"""Colors of shapes with a meaning."""
SERIES = tuple(f"c{number}" for number in range(12))
"""Colors of shapes that differ only by what they belong to."""
LIGHT: Mapping[str, str] = {
    "ground": "#fbfaf7", "panel": "#ffffff", "alarm": "#fbe9dd", "warn": "#fff6e3", "warnline": "#e8cf97",
    "ink": "#1d2129", "soft": "#585f6b", "line": "#dfdcd4", "accent": "#1f5fa8",
    "kept": "#2c7d6f", "cut": "#c8611c", "other": "#868e99", "reject": "#a82c4d", "good": "#24704a", "bad": "#a82c4e",
    "c0": "#1f5fa9", "c1": "#c2571a", "c2": "#2c7d4f", "c3": "#8a3f96", "c4": "#a1731a", "c5": "#b03052",
    "c6": "#2a7f8e", "c7": "#666f7c", "c8": "#5a4fcf", "c9": "#8a6d5a", "c10": "#5f8f1f", "c11": "#c05791",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "ground": "#14171c", "panel": "#1b1f26", "alarm": "#3a2a20", "warn": "#2a2416", "warnline": "#5b4c24",
    "ink": "#e7e9ec", "soft": "#a3abb7", "line": "#323842", "accent": "#7db2ee",
    "kept": "#56b3a2", "cut": "#ef9a5a", "other": "#727b88", "reject": "#f088a4", "good": "#7fd0a0", "bad": "#f088a4",
    "c0": "#7db2ee", "c1": "#f0a06a", "c2": "#7fd0a0", "c3": "#d59be0", "c4": "#e4c06c", "c5": "#f088a4",
    "c6": "#79cddb", "c7": "#aab2bd", "c8": "#aaa2ff", "c9": "#c9ad99", "c10": "#b5d46f", "c11": "#f0a3cc",
}  # fmt: skip


def variables() -> str:
    """CSS that defines every color as a variable, `--ink` and so on, and follows the system's color scheme."""
    light, dark = ("".join(f"--{name}:{color};" for name, color in colors.items()) for colors in (LIGHT, DARK))
    return f":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def sheet(rules: str) -> str:
    """CSS for a picture in a file of its own: `$ink` and so on in `rules` become colors, first light, then dark.

    Programs that know no CSS variables or media queries show the light version.
    """
    light, dark = (Template(rules).substitute(colors) for colors in (LIGHT, DARK))
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"


def repainted(svg: str) -> str:
    """CSS that repaints the shapes of a picture whose `style` attributes have light colors, if the system's color
    scheme is dark."""
    rules = "".join(
        f'[style*="{kind}: {LIGHT[name]}"]{{{kind}:{DARK[name]}!important}}'
        for name in LIGHT
        for kind in ("fill", "stroke")
        if f"{kind}: {LIGHT[name]}" in svg
    )
    return f"@media (prefers-color-scheme:dark){{{rules}}}"
