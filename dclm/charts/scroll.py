"""A box for a table that may be wider than the window: it scrolls by itself, and a shadow shows where there is more."""

from __future__ import annotations

from dclm.charts.escape import escape

STYLE = """
.scroll { overflow-x: auto; --shade: color-mix(in srgb, var(--ink) 30%, transparent); background:
  linear-gradient(to right, var(--panel) 40%, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--panel) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / .8rem 100% no-repeat scroll,
  linear-gradient(to left, var(--shade), transparent) right / .8rem 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
@media (max-width: 640px) {
  .far::before { content: "More columns: scroll sideways →"; position: sticky; left: 0; display: inline-block;
    color: var(--soft); font-size: .8rem; }
}
"""


def scrolled(body: str, label: str, far: bool = False) -> str:
    """`body` (HTML) in the box, which can be scrolled from the keyboard; `label` is text for screen readers.

    far: on a phone, words say that there is more.
    """
    kind = "scroll far" if far else "scroll"
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(label)}">{body}</div>'
