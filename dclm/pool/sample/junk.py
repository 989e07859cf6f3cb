"""Pages of the sample crawl that a good pipeline drops: spam of several kinds, and pages without content."""

from __future__ import annotations

import random

from dclm.pool.sample.text import TextBlock

_GOODS = (
    "replica watches", "cheap sunglasses", "payday loans", "weight loss pills", "casino bonus", "poker chips",
    "car insurance", "essay writing", "designer bags", "free ringtones",
)  # fmt: skip
_PUSH = (
    "buy", "order", "best price", "discount", "online", "now", "free shipping", "no deposit", "instant approval",
    "lowest cost", "top rated", "official",
)  # fmt: skip
_PLACES = ["Austin", "Leeds", "Ohio", "Dallas", "Perth", "Toronto", "Boston", "Denver", "Cork", "Miami"]
_ITEMS = ["Lamp", "Chair", "Mug", "Rug", "Clock", "Shelf", "Frame", "Pillow", "Vase", "Basket", "Tray", "Stool"]
SPAM_SITES = (
    "best-casino-bonus.info", "xxx-sexcam-live.com", "free-poker-slots.biz", "cheap-pills-rx.net",
    "escort-sex-finder.com", "top-replica-watches.ru", "win-jackpot-casino.com", "phonesex-xxx.net",
)  # fmt: skip
"""Invented domains whose names a URL filter should catch."""


def _stuffing(rng: random.Random) -> list[TextBlock]:
    goods = rng.choice(_GOODS)
    lines = []
    for _ in range(rng.randint(6, 15)):
        words = [goods if rng.random() < 0.5 else rng.choice(_PUSH) for _ in range(rng.randint(15, 30))]
        lines.append(TextBlock("p", " ".join(words) + "."))
    return [TextBlock("h1", f"{rng.choice(_PUSH)} {goods} {rng.choice(_PUSH)}".title()), *lines]


def _repeated_lines(rng: random.Random) -> list[TextBlock]:
    goods = rng.choice(_GOODS)
    line = f"Click here to get the best {goods} in {rng.choice(_PLACES)} and save with our special offer today."
    other = f"Visit our store for {goods} and {rng.choice(_GOODS)} at the lowest price that you have ever seen."
    count = rng.randint(15, 40)
    return [TextBlock("h1", f"Best {goods}"), *(TextBlock("p", rng.choice((line, line, other))) for _ in range(count))]


def _doorway(rng: random.Random) -> list[TextBlock]:
    goods = rng.choice(_GOODS)
    lines = [
        TextBlock(
            "p", f"Looking for {goods} in {place}? We have {goods} for everyone in {place} and the area of {place}."
        )
        for place in rng.choices(_PLACES, k=rng.randint(10, 20))
    ]
    return [TextBlock("h1", f"{goods} near you".capitalize()), *lines]


def _link_farm(rng: random.Random) -> list[TextBlock]:
    items = [
        TextBlock(
            "li",
            f"{rng.choice(_PUSH)} {rng.choice(_GOODS)} {rng.choice(_PLACES)} {rng.choice(_GOODS)} {rng.choice(_PUSH)}",
        )
        for _ in range(rng.randint(60, 150))
    ]
    return [TextBlock("h1", "Useful links"), *items]


def _jackpot(rng: random.Random) -> list[TextBlock]:
    lines = []
    for _ in range(rng.randint(5, 10)):
        goods, other = rng.sample(_GOODS, 2)
        lines.append(
            TextBlock(
                "p",
                (
                    f"You will love the {goods} that we have for you {rng.choice(_PUSH)}!!! "
                    f"{rng.choice(_PUSH).upper()} $$$ "
                    f"WIN WIN WIN with {other} and {rng.choice(_PUSH)} the {goods} of {rng.choice(_PLACES)} "
                    f"#{other.split()[0]} #{goods.split()[-1]} #win #free"
                ),
            )
        )
    return [TextBlock("h1", "YOU ARE THE WINNER"), *lines]


def _not_found(rng: random.Random) -> list[TextBlock]:
    return [
        TextBlock("h1", "Page not found"),
        TextBlock("p", f"Error 404: the page {rng.randrange(10**6)} could not be found."),
    ]


def _login(rng: random.Random) -> list[TextBlock]:
    lines = (
        "Please sign in to continue",
        "Username",
        "Password",
        "Remember me",
        "Forgot your password?",
        "Create an account",
    )
    return [TextBlock("h1", "Sign in"), *(TextBlock("p", line) for line in rng.sample(lines, rng.randint(3, 6)))]


def _short(rng: random.Random) -> list[TextBlock]:
    what = rng.choice(_ITEMS).lower()
    text = rng.choice(
        (
            f"This page is about the {what}. More to come soon, so please check back with us in a week.",
            f"We are moving to a new site. The {what} will be back when it is ready.",
            f"Photo of a {what} in {rng.choice(_PLACES)}. Click to enlarge.",
        )
    )
    return [TextBlock("h1", rng.choice(_ITEMS)), TextBlock("p", text)]


def _catalogue(rng: random.Random) -> list[TextBlock]:
    items = [
        TextBlock(
            "li",
            f"{rng.choice(_ITEMS)} {rng.choice('ABC')}{rng.randrange(1000)} ${rng.randrange(5, 300)}.99 Add to cart",
        )
        for _ in range(rng.randint(25, 60))
    ]
    return [TextBlock("h1", "All products"), *items]


def _archive(rng: random.Random) -> list[TextBlock]:
    years = range(2005, 2005 + rng.randint(8, 18))
    items = [
        TextBlock("li", f"{month} {year} ({rng.randrange(60)})") for year in years for month in ("June", "March", "May")
    ]
    return [TextBlock("h1", "Archive"), *items]


SPAM = (_stuffing, _repeated_lines, _doorway, _link_farm, _jackpot)
BOILERPLATE = (_not_found, _login, _short, _catalogue, _archive)
