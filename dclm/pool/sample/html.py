"""HTML around the main text of a sample page: navigation, cookie banners, adverts, sidebars, comments, footers."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence

from dclm.pool.sample.text import TextBlock

_MENU = (
    "Home", "About", "Contact", "Archive", "Shop", "News", "Blog", "Events", "Team", "Help", "Careers", "Press", "FAQ",
    "Newsletter", "Gallery", "Projects",
)  # fmt: skip
_COOKIES = (
    "We use cookies to improve your experience. By using this site you accept our cookie policy.",
    "This website stores cookies on your computer. Manage your preferences or accept all.",
    "We value your privacy. Our 214 partners store and access information on your device.",
)
_ADVERTS = (
    "Advertisement", "Sponsored: 50% off all mattresses this week only!", "Doctors hate this one simple trick",
    "Save on car insurance today. Get a free quote.", "Limited offer: subscribe now and pay later",
)  # fmt: skip
_COMMENTS = (
    "Great post, thanks!", "First!", "I disagree, but well written.", "Can you share the source?",
    "Loved it, following you now.", "This helped me a lot, cheers.", "lol same here",
)  # fmt: skip
_NAMES = ("anna_k", "bigjoe77", "marta", "dr_no", "pixelcat", "old_tom", "lee", "sunny99")
_SCRIPT = "(function(){window.dataLayer=window.dataLayer||[];dataLayer.push({event:'view',t:%d});})();"
_LAYOUTS = (
    '<main id="content"><article class="post">\n%s\n</article></main>',
    '<div class="page"><div id="main-content" class="entry-content">\n%s\n</div></div>',
    '<section class="content"><article itemprop="articleBody">\n%s\n</article></section>',
)


def wrap(
    rng: random.Random, blocks: Sequence[TextBlock], site: str, language: str = "en", charset: str = "utf-8"
) -> str:
    """A whole HTML page whose main content is `blocks`; the elements around it are drawn from `rng`."""
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="{language}">',
        "<head>",
        f'<meta charset="{charset}">',
        f"<title>{html.escape(blocks[0].text)} | {site}</title>",
        '<link rel="stylesheet" href="/static/site.css">',
        f"<style>body{{margin:0;max-width:{rng.randint(40, 90)}em}}</style>",
        f"<script>{_SCRIPT % rng.randrange(10**6)}</script>",
        "</head>",
        "<body>",
    ]
    if rng.random() < 0.6:
        lines.append(f'<div class="cookie-banner" role="dialog">{rng.choice(_COOKIES)} <button>Accept</button></div>')
    lines.append(_navigation(rng, site))
    if rng.random() < 0.5:
        lines.append(f'<div class="ad advert">{rng.choice(_ADVERTS)}</div>')
    lines.append(rng.choice(_LAYOUTS) % _render(blocks))
    if rng.random() < 0.7:
        lines.append(_sidebar(rng))
    if rng.random() < 0.4:
        lines.append(_comments(rng))
    return "\n".join([*lines, _footer(site), "</body>", "</html>", ""])


def _render(blocks: Sequence[TextBlock]) -> str:
    """The blocks as HTML; runs of list items become one list."""
    out: list[str] = []
    open_list = False
    for block in blocks:
        if (block.kind == "li") != open_list:
            out.append("</ul>" if open_list else "<ul>")
            open_list = not open_list
        out.append(f"<{block.kind}>{html.escape(block.text)}</{block.kind}>")
    return "\n".join(out + (["</ul>"] if open_list else []))


def _navigation(rng: random.Random, site: str) -> str:
    links = "".join(f'<li><a href="/{word.lower()}">{word}</a></li>' for word in rng.sample(_MENU, rng.randint(5, 9)))
    logo = f'<a class="logo" href="/">{site}</a>'
    return f'<header class="site-header">{logo}<nav><ul class="menu">{links}</ul></nav></header>'


def _sidebar(rng: random.Random) -> str:
    links = "".join(f'<li><a href="/p/{rng.randrange(9999)}">{word} update</a></li>' for word in rng.sample(_MENU, 4))
    advert = f'<p class="ad">{rng.choice(_ADVERTS)}</p>'
    return f'<aside class="sidebar"><h3>Related posts</h3><ul>{links}</ul>{advert}</aside>'


def _comments(rng: random.Random) -> str:
    items = "".join(
        f'<li class="comment"><span class="author">{rng.choice(_NAMES)}</span><p>{text}</p></li>'
        for text in rng.sample(_COMMENTS, rng.randint(1, 3))
    )
    return f'<div id="comments" class="comments-area"><h3>Comments</h3><ol class="comment-list">{items}</ol></div>'


def _footer(site: str) -> str:
    share = " ".join(f'<a href="#">{name}</a>' for name in ("Share", "Tweet", "Pin"))
    notice = f"<p>© 2024 {site}. All rights reserved.</p>"
    return f'<footer class="site-footer"><div class="social">{share}</div>{notice}</footer>'
