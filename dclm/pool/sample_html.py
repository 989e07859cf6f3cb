"""HTML around the main text of a sample page: navigation, cookie banners, adverts, sidebars, comments, footers."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence

from dclm.pool.sample_english import Block

_MENU = (
    "Home;About;Contact;Archive;Shop;News;Blog;Events;Team;Help;Careers;Press;FAQ;Newsletter;Gallery;Projects".split(
        ";"
    )
)
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
_NAMES = "anna_k;bigjoe77;marta;dr_no;pixelcat;old_tom;lee;sunny99".split(";")
_SCRIPT = "(function(){window.dataLayer=window.dataLayer||[];dataLayer.push({event:'view',t:%d});})();"


def wrap(rng: random.Random, blocks: Sequence[Block], site: str, language: str = "en", charset: str = "utf-8") -> str:
    """A whole HTML page whose main content is `blocks`; the chrome around it is drawn from `rng`."""
    title = html.escape(blocks[0].text) if blocks else site
    main = _LAYOUTS[rng.randrange(len(_LAYOUTS))](render(blocks), title)
    before = [_navigation(rng, site)]
    if rng.random() < 0.6:
        before.insert(
            rng.randrange(2),
            f'<div class="cookie-banner" role="dialog">{rng.choice(_COOKIES)} <button>Accept</button></div>',
        )
    if rng.random() < 0.5:
        before.append(f'<div class="ad advert">{rng.choice(_ADVERTS)}</div>')
    after = [_sidebar(rng)] if rng.random() < 0.7 else []
    if rng.random() < 0.4:
        after.append(_comments(rng))
    after.append(_footer(rng, site))
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="{charset}">\n<title>{title} | {site}</title>\n'
        '<link rel="stylesheet" href="/static/site.css">\n'
        f"<style>body{{margin:0;max-width:{rng.randint(40, 90)}em}}</style>\n<script>{_SCRIPT % rng.randrange(10**6)}</script>\n"
        f"</head>\n<body>\n" + "\n".join(before) + f"\n{main}\n" + "\n".join(after) + "\n</body>\n</html>\n"
    )


def render(blocks: Sequence[Block]) -> str:
    """The blocks as HTML; runs of list items become one list."""
    out: list[str] = []
    open_list = False
    for block in blocks:
        if (block.kind == "li") != open_list:
            out.append("</ul>" if open_list else "<ul>")
            open_list = not open_list
        out.append(f"<{block.kind}>{html.escape(block.text)}</{block.kind}>")
    return "\n".join(out + (["</ul>"] if open_list else []))


def _article(main: str, title: str) -> str:
    return f'<main id="content"><article class="post">\n{main}\n</article></main>'


def _divs(main: str, title: str) -> str:
    return f'<div class="page"><div id="main-content" class="entry-content">\n{main}\n</div></div>'


def _section(main: str, title: str) -> str:
    return f'<section class="content"><article itemprop="articleBody">\n{main}\n</article></section>'


_LAYOUTS = (_article, _divs, _section)


def _navigation(rng: random.Random, site: str) -> str:
    links = "".join(f'<li><a href="/{word.lower()}">{word}</a></li>' for word in rng.sample(_MENU, rng.randint(5, 9)))
    return f'<header class="site-header"><a class="logo" href="/">{site}</a><nav><ul class="menu">{links}</ul></nav></header>'


def _sidebar(rng: random.Random) -> str:
    links = "".join(f'<li><a href="/p/{rng.randrange(9999)}">{word} update</a></li>' for word in rng.sample(_MENU, 4))
    return (
        f'<aside class="sidebar"><h3>Related posts</h3><ul>{links}</ul><p class="ad">{rng.choice(_ADVERTS)}</p></aside>'
    )


def _comments(rng: random.Random) -> str:
    items = "".join(
        f'<li class="comment"><span class="author">{rng.choice(_NAMES)}</span><p>{text}</p></li>'
        for text in rng.sample(_COMMENTS, rng.randint(1, 3))
    )
    return f'<div id="comments" class="comments-area"><h3>Comments</h3><ol class="comment-list">{items}</ol></div>'


def _footer(rng: random.Random, site: str) -> str:
    share = " ".join(f'<a href="#">{name}</a>' for name in ("Share", "Tweet", "Pin"))
    return f'<footer class="site-footer"><div class="social">{share}</div><p>© 2024 {site}. All rights reserved.</p></footer>'
