"""An ablation as one HTML page: the effect of each step, and which steps overlap."""

from __future__ import annotations

from dclm import __version__
from dclm.charts.escape import escape, span
from dclm.charts.scroll import scrolled
from dclm.charts.svg import attributes, shortened, words
from dclm.report.ablation.run import Ablation, StepEffect
from dclm.report.page import panel, render, tiles
from dclm.report.pictures.svg import BarPart, bar, short, swatch

_CELL, _SIDE, _HEAD = 26, 190, 34
_LABEL = 26  # characters next to a row of the matrix
_OPAQUE = 0.5
"""The darkest cells of the matrix: numbers have to stay legible on them."""
_NOTE = (
    "Each row leaves out one step (and the steps that depend on it) and runs the rest on the same documents."
    " Drops: in the whole pipeline. Only here: documents that are kept only if the step is left out. Caught later: "
    "dropped by it, or by a later step if it is left out. Lost: documents that are kept only because of it. Alone:"
    " dropped by it as the only step; shared: of these, those that another step alone also drops. Documents,"
    " characters: change in the output if the step is left out."
)
_HEADS = (
    "drops", "alone", "shared", "only here", "caught later", "lost", "documents", "characters",
)  # fmt: skip


def render_ablation(found: Ablation) -> str:
    """The page. The same ablation gives the same bytes."""
    numbers = [
        (f"{found.documents:,}", "documents in the sample"),
        (f"{found.kept:,}", "kept by the whole pipeline"),
        (short(found.characters), "characters kept"),
    ]
    header = f"<header><h1>{escape(found.pipeline)}, step by step</h1></header>"
    sections = [tiles(numbers), panel("One step left out", _table(found))]
    sections.append(panel("Overlap", _overlap(found)))
    body = f"{header}\n<main>\n{''.join(sections)}</main>"
    return render(f"{found.pipeline} · ablation", body, f"dclm {__version__}")


def _table(found: Ablation) -> str:
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    most = max((e.dropped_alone + e.dropped for e in found.steps), default=0)
    rows = "".join(_row(effect, found, most) for effect in found.steps)
    legend = f'<ul class="legend"><li>{swatch("cut")}only here</li><li>{swatch("other")}caught later</li></ul>'
    head = f'<tr><th></th><th class="text">step</th><th></th>{heads}</tr>'
    body = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    table = scrolled(body, "The effect of each step", far=True)
    return f'<p class="note">{_NOTE}</p>{legend}{table}'


def _row(effect: StepEffect, found: Ablation, most: int) -> str:
    parts = (BarPart("cut", effect.only_here, "only here"), BarPart("other", effect.caught_later, "caught later"))
    change = (effect.characters_without - found.characters) / max(1, found.characters)
    counts = (
        effect.dropped, effect.dropped_alone, effect.also_dropped_by_others, effect.only_here, effect.caught_later,
        effect.lost_without,
    )  # fmt: skip
    cells = "".join(f"<td>{n:,}</td>" if n else "<td></td>" for n in counts)
    gone = f"<small>with {', '.join(map(str, effect.gone_with))}</small>" if effect.gone_with else ""
    kept = f"<td>{effect.kept_without - found.kept:+,}</td><td>{change:+.2%}</td>"
    name = f'<td class="text wide">{span(effect.step)}{gone}</td>'
    return f'<tr><td>{effect.index}</td>{name}<td class="bar">{bar(parts, most)}</td>{cells}{kept}</tr>\n'


def _overlap(found: Ablation) -> str:
    """A matrix of the steps that drop something alone: row i, column j is the fraction of i's drops that j also
    drops."""
    rows = [row for row, effect in enumerate(found.steps) if effect.dropped_alone]
    if not rows:
        return '<p class="note">No step drops any document on its own.</p>'
    shapes = []
    for y, i in enumerate(rows):
        middle = _HEAD + y * _CELL + 17
        label = escape(shortened(f"{found.steps[i].index} {found.steps[i].step}", _LABEL))
        shapes.append(f'<text x="{_SIDE - 8}" y="{middle}" text-anchor="end">{label}</text>')
        shapes.append(f'<text x="{_SIDE + y * _CELL + 13}" y="{_HEAD - 10}" text-anchor="middle">')
        shapes.append(f"{found.steps[i].index}</text>")
        for x, j in enumerate(rows):
            share = found.overlap[i][j] / found.overlap[i][i]
            place = f'x="{_SIDE + x * _CELL}" y="{_HEAD + y * _CELL}"'
            title = f"<title>{found.overlap[i][j]:,} documents, {share:.0%}</title>"
            size = f'width="{_CELL - 1}" height="{_CELL - 1}" fill-opacity="{_OPAQUE * share:.3f}"'
            shapes.append(f'<rect class="{"other" if i == j else "cut"}" {place} {size}>{title}</rect>')
            if i != j and share >= 0.005:
                at = f'x="{_SIDE + x * _CELL + 12}" y="{middle}"'
                shapes.append(f'<text {at} text-anchor="middle">{100 * share:.0f}</text>')
    width, height = _SIDE + _CELL * len(rows), _HEAD + _CELL * len(rows)
    note = "Each step alone on the documents: percentage of the row's drops that the column's step also drops."
    title = f"Overlap of {len(rows)} steps"
    view = f'<svg class="matrix" viewBox="0 0 {max(width, 640)} {height}" {attributes(title)}>'
    picture = f"{view}{words(title, note)}{''.join(shapes)}</svg>"
    return f'<p class="note">{note}</p>{scrolled(picture, title)}'
