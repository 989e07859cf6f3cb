"""English for the sample pool: expository articles (high quality) and chatter (low quality) over a dozen topics."""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from dclm.pool.sample_chatter import CHATTER, CHATTER_WORDS
from dclm.pool.sample_grammar import Speaker, phrases
from dclm.pool.sample_topics import TOPICS


class Block(NamedTuple):
    """One piece of a page's main text."""

    kind: str
    """h1, h2, p, or li."""
    text: str


_COMMON = {
    "year": "1687; 1742; 1790; 1815; 1834; 1851; 1869; 1888; 1903; 1911; 1924; 1937; 1948; 1956; 1963; 1971; 1984; 1992; 2003; 2009; 2014; 2019",
    "count": "two; three; four; five; seven; nine; a dozen; fifteen; twenty; thirty; forty; sixty; several hundred; a thousand",
    "period": "days; weeks; months; seasons; years; decades; generations; hours",
    "lead": "In practice; As a rule; At first sight; For the same reason; By contrast; On closer inspection; In most cases; Over time; In the end; To begin with; Not surprisingly; Even so; In other words; As a consequence; For many years; Under ordinary conditions; More recently; Strictly speaking; Taken together; Seen from a distance",
    "adverb": "slowly; steadily; rarely; usually; noticeably; gradually; often; quickly; almost always; sometimes; seldom; unexpectedly; reliably; partly; eventually; markedly",
    "because": "because; since; partly because; mainly because; simply because",
    "while": "while; whereas; although; even though; just as; once; whenever; unless; so long as",
    "think": "suggest; believe; argue; suspect; report; agree; maintain; point out; conclude; admit",
    "thought": "noted; wrote; claimed; observed; insisted; remarked; showed; assumed; doubted; realised",
    "matter": "question; problem; puzzle; detail; point; difference; lesson; pattern; limit; difficulty; advantage; idea",
    "strong": "clear; striking; modest; surprising; lasting; measurable; subtle; important; familiar; practical; considerable; well known",
    "source": "survey; report; notebook; journal; field guide; textbook; letter; lecture; handbook; long article; review; memoir",
}  # fmt: skip

_OPEN = """
The {subject} is one of the most {adjective} things that {agent} [meet|study|deal with] in {place}, and [yet|still] its {quality} is [easily|often|commonly] misunderstood.
[Few subjects reward patience|Little in this field is] quite like the {subject}, which {change} and, in {place}, {change}.
When {agent} speak of the {subject}, they [usually|often|tend to] mean [more than one thing|something that {change}]; the {part} come later.
What [exactly|really] is a {adjective} {subject}, and why do {agent} {act}?
For [more than|nearly|about] {count} {period}, {agent} have tried to explain why the {subject} {change}.
A {subject} [seems|looks|appears] simple until one looks at its {part}, which are {adjective}, {adjective} and [hardly ever|never quite|seldom] alike.
This [article|guide|page|short introduction] describes how the {subject} {change}, what its {part} do, and how {agent} {act}.
[Anyone|Everyone|A visitor] who has spent time in {place} will have noticed that the {subject} {change}.
"""

_BODY = """
{lead}, the {subject} {change}, [and|while|so] its {part} remain {adjective}.
{agent} {act}, {because} the {part} are [more|less|rather] {adjective} than they [look|seem|appear].
By {method}, {agent} can [estimate|control|compare|follow] {quality} without disturbing the {part}.
In {year}, {name} {acted} and [thereby|so|in doing so] changed how {agent} {think} about {quality}.
The [result|outcome|usual consequence] is {effect}, which in turn [affects|limits|alters|improves] the {part}.
{quality} [matters|counts] here: without it, the {subject} [would lose|loses|cannot keep] its {adjective} {part}.
[One|A second|Another] {matter} concerns {quality}, which {adverb} [changes|varies|increases|falls] from one {subject} to the next.
{agent} in {place} {act}; those [elsewhere|in {place}] prefer {method}.
A {strong} {matter} is that {effect} [may|can|need not] follow, {while} the {subject} {change}.
{lead}, {method} costs little, [but|yet|though] it tells {agent} [almost nothing|a good deal|less than expected] about {quality}.
[Compared|Set beside|Measured] against {name}, later {agent} had better tools, [though|and yet] they {adverb} {act}.
Between {count} and {count} {period} [pass|go by|are needed] before the {part} become {adjective}.
The {adjective} {part} [hold|protect|separate|feed|shape] the {adjective} ones, and {quality} [does|explains] the rest.
If the {subject} {change}, {agent} look for {effect}; if not, they try {method}.
It was {name} who first {thought} that {quality} and {quality} are [two sides of the same {matter}|closely linked|hard to tell apart].
[Some|Many|Most|A few] {agent} {think} that {effect} is [a sign of|caused by|independent of] {quality}.
A {source} from {year} [mentions|describes|lists] {count} {part}, [of which|and] only a few were {adjective}.
{lead}, no {subject} in {place} {change} in [exactly|quite] the same way.
Because {quality} {adverb} [drops|rises|shifts], the {part} [must|have to|may] be checked every {count} {period}.
[Neither|Not even] {method} [nor|and] {method} will prevent {effect} [altogether|completely|for ever].
Where {quality} is low, {agent} {act}; where it is high, the {subject} {change}.
{name} {acted}, {name} {acted}, and [within|after] {count} {period} the {matter} looked [entirely|rather|very] different.
[Much|A good part|Some] of the {quality} comes from the {part}, and the remainder from {method}.
There are {count} kinds of {part}: the {adjective}, the {adjective} and [finally|lastly|rarest of all] the {adjective}.
Such {effect} [was|had been] known in {place} long before {name} {acted}.
To understand {effect}, imagine a {subject} whose {part} are [all|no longer|only partly] {adjective}.
{agent} {adverb} {act}, [a habit|a custom|a practice] that goes back to {name} and a {source} of {year}.
The {matter} is not whether the {subject} {change} but how [soon|far|often] and with what {quality}.
[Later|Newer|Independent] work in {place} [confirmed|refined|contradicted] this, {while} {agent} continued to {act}.
Too much {quality} leads to {effect}; too little, and the {subject} hardly [works|lasts|changes] at all.
After {method}, the {part} [appear|become|turn] {adjective}, which {agent} take as [proof|evidence|a warning] of {quality}.
{count} {period} later, {agent} {acted} in {place}, and the {adjective} {part} were [gone|found again|still there].
A {adjective} {subject} [behaves|differs] in this respect from a {adjective} one: it {change}.
{lead}, {agent} who {act} see {effect} [earlier|later|less often] than those who rely on {method}.
The cost of {method} fell after {year}, so that even {agent} with [little money|few means|small budgets] could afford it.
[Early|Old|The first] accounts by {name} [exaggerate|leave out|describe] {effect}, probably because {quality} could not yet be measured.
Every {subject} needs {quality}, {quality} and [a little|some|plenty of] time; the {part} take care of themselves.
{agent} [disagree|are divided] about the {part}: some {think} that {quality} decides, others that {method} does.
What looks like {effect} is {adverb} the [work|product|trace] of {adjective} {part}.
It takes {count} {agent} about as many {period} to {act}, even in {place}.
[Careful|Regular|Patient] {method} showed {agent} that {quality} {adverb} follows {effect}, [never|and not] the other way round.
In {place}, where {quality} is [abundant|scarce|seldom a worry], the {subject} {change}.
The {part} nearest the centre are {adjective}; further out they grow {adjective} and [lose|gain] {quality}.
{name} kept a {source} in which {effect} appears {count} times, each time with a {strong} note on {quality}.
A rule of thumb among {agent} says that {count} {part} are enough [for|in] {place}.
[Nothing|Little] in the {source} explains why {effect} should depend on {quality}, [yet|but] it does.
{while} {agent} {act}, the {subject} {change}, and both [processes|things] shape its {quality}.
Modern {agent} use {method} as well as {method}, [choosing|deciding] by the {quality} of the {part}.
The {adjective} form is [common|found] in {place}, the {adjective} one [mostly|only] in {place}.
Once {effect} has set in, {agent} can do little [except|other than] {act}.
In a {strong} experiment of {year}, {count} {part} were kept in {place} and examined for {quality}.
[Two|Three|Several] things follow: the {part} stay {adjective}, {quality} falls, and {effect} becomes [likely|rare|visible].
{method}, a technique [borrowed|learned|adapted] from {name}, gives {agent} a {strong} picture of {quality}.
For all its {quality}, the {subject} has one weakness: it {change}.
{agent} once {thought} that the {part} caused {effect}; {name} showed that {quality} was [responsible|to blame|the reason].
The {adjective} {subject} in {place} is [about|roughly|some] {count} {period} older than its {part}.
Good {quality} [depends on|begins with|requires] {method}, and that is why {agent} {act}.
[Unlike|Like] {part} from {place}, these are {adjective}, and they [respond|react] {adverb} to {quality}.
"""

_CLOSE = """
[In short|To sum up|All in all], the {subject} {change}, its {part} are {adjective}, and {agent} still have [much|plenty|a lot] to learn about {quality}.
The next {count} {period} will show whether {method} can prevent {effect}.
For further reading, the {source} by {name} [remains|is] a good place to [start|begin], especially on {quality}.
[Perhaps|Maybe] the best advice comes from {agent} themselves: {act}, and be patient.
None of this makes the {subject} less [remarkable|interesting|rewarding]; it only explains why it {change}.
"""

_HEADING = """
How the {subject} works; The role of {quality}; {part} and {quality}; What {agent} do; A short history; Measuring {quality}; Common mistakes; Why {quality} matters; From {place} to {place}; {method}; The {adjective} {part}; Open questions; {name} and after; Limits of {method}
"""

_TITLE = """
{subject}: {quality}, {part} and {effect}; Understanding the {adjective} {subject}; Why the {subject} {change}; A guide to {part} and {quality}; The {subject} in {place}; {name} and the {subject}; {quality} and the {subject}; {method}: notes on the {subject}
"""

_ITEM = """
{method}, which improves {quality}; {part} that are {adjective} or {adjective}; a {source} on {quality}; {count} {period} of {quality}; {effect} in {place}; advice from {agent} in {place}; {adjective} {part} for {method}; {quality} without {effect}
"""

_TEMPLATES = {
    "OPEN": phrases(_OPEN.replace(";", "\x00")), "BODY": phrases(_BODY.replace(";", "\x00")),
    "CLOSE": phrases(_CLOSE.replace(";", "\x00")),
    "HEADING": phrases(_HEADING), "TITLE": phrases(_TITLE), "ITEM": phrases(_ITEM),
}  # fmt: skip


@cache
def _article_lexicon(topic: str) -> dict[str, tuple[str, ...]]:
    sentences = {name: tuple(t.replace("\x00", ";") for t in entries) for name, entries in _TEMPLATES.items()}
    return {name: phrases(text) for name, text in _COMMON.items()} | sentences | TOPICS[topic]


@cache
def _chatter_lexicon(topic: str) -> dict[str, tuple[str, ...]]:
    return CHATTER_WORDS | CHATTER | TOPICS[topic]


def article(rng: random.Random, min_words: int = 550, max_words: int = 1500) -> list[Block]:
    """An informative page: title, sections with headings, paragraphs of several sentences, now and then a list."""
    lexicon = _article_lexicon(rng.choice(sorted(TOPICS)))
    subject = rng.choice(lexicon["subject"])
    speaker = Speaker(rng, {**lexicon, "subject": (subject,)})
    target = rng.randint(min_words, max_words)
    blocks = [Block("h1", speaker.say("TITLE")), Block("p", _paragraph(speaker, rng, ("OPEN", "BODY", "BODY")))]
    words = _num_words(blocks)
    while words < target:
        section = [Block("h2", speaker.say("HEADING"))]
        for _ in range(rng.randint(2, 3)):
            section.append(Block("p", _paragraph(speaker, rng, ("BODY",) * rng.randint(3, 6))))
        if rng.random() < 0.2:
            section += [Block("li", speaker.say("ITEM")) for _ in range(rng.randint(3, 5))]
        blocks += section
        words += _num_words(section)
    return [*blocks, Block("p", _paragraph(speaker, rng, ("BODY", "CLOSE", "CLOSE")))]


def chatter(rng: random.Random, min_words: int = 250, max_words: int = 900) -> list[Block]:
    """A page of little information: a personal blog or forum post that circles around its topic."""
    lexicon = _chatter_lexicon(rng.choice(sorted(TOPICS)))
    speaker = Speaker(rng, {**lexicon, "subject": (rng.choice(lexicon["subject"]),)})
    target = rng.randint(min_words, max_words)
    blocks = [Block("h1", speaker.say("TITLE"))]
    words = 0
    while words < target:
        blocks.append(Block("p", _paragraph(speaker, rng, ("SAY",) * rng.randint(1, 5))))
        words += len(blocks[-1].text.split())
    return blocks


def _paragraph(speaker: Speaker, rng: random.Random, slots: tuple[str, ...]) -> str:
    return " ".join(speaker.say(slot) for slot in slots)


def _num_words(blocks: list[Block]) -> int:
    return sum(len(block.text.split()) for block in blocks)


def plain_text(blocks: list[Block]) -> str:
    """The main text as a reader would copy it: one line a block, paragraphs apart by an empty line."""
    lines: list[str] = []
    for block in blocks:
        if lines and block.kind != "li":
            lines.append("")
        lines.append(f"• {block.text}" if block.kind == "li" else block.text)
    return "\n".join(lines)
