"""Templates of chatter: first person, vague, much feeling and little fact. The low-quality register of the sample."""

from __future__ import annotations

from dclm.pool.sample_grammar import phrases

_WORDS = {
    "who": "my sister; my boss; a guy at work; my neighbour; some lady at the store; my cousin; everyone; nobody; my ex; the new girl; my dad; this one friend",
    "when": "yesterday; last night; this morning; on tuesday; over the weekend; the other day; like a month ago; right before lunch; at some point; on the way home",
    "feel": "so tired; kind of annoyed; pretty happy; super confused; totally lost; a bit jealous; really excited; sort of bored; weirdly calm; over it",
    "wow": "lol; haha; ugh; omg; anyway; seriously; whatever; oh well; no joke; i swear; you know; honestly",
    "judge": "amazing; awful; the best; so random; kinda gross; super cute; a total mess; meh; not my thing; insane; overrated; fine i guess",
    "stuff": "some pics; a long rant; that video; the link; my playlist; a selfie; the group chat; a meme; my wish list; an update",
    "do": "get coffee; go home; nap; call in sick; start over; quit; watch tv; scroll my phone; go shopping; ignore it; eat pizza; clean my room",
    "thing": "the weather; my phone; the traffic; that show; my hair; the wifi; the game; work drama; the party; my car; the cat; the gym",
}  # fmt: skip

_SAY = """
So {when} I was going to {do} but then {who} called and we talked about {thing} [for hours|forever|way too long].
[I don't know|Idk|No idea] why but {thing} makes me {feel}, {wow}.
Does [anyone|anybody] else think the {subject} is {judge}?
{wow}, {thing} was {judge} and I [just|literally|basically] wanted to {do}.
I [might|will|should] post {stuff} later [if I remember|when I have time|maybe tomorrow].
{who} said it was {judge} and I was like [okay then|what|sure|are you kidding].
Also, {thing}. [Don't even get me started|I can't even|Enough said|You know what I mean].
Not much [going on|happening|to say] today, just {thing} and {thing}, and I feel {feel}.
[Sorry|So sorry] I have not been posting [lately|much], {thing} has been {judge} and I was {feel}.
I tried to read about {part} {when} and it was {judge}, so I decided to {do} [instead|again].
[Please|Pls] leave a comment and tell me what you think about {thing} or {stuff}!
It's [like|basically|kind of] the same as {thing} only more {judge}, if that makes [any sense|sense].
We were [all|both] {feel} so we had to {do} and then {do}, {wow}.
My [favourite|least favourite] part was when {who} saw {thing} and started to laugh.
I'm [not saying|just saying] the {subject} is {judge}, but have you seen {thing}?
Anyway, {when} {who} sent me {stuff} and that was {judge} too.
[Thanks|Big thanks|Thank you] to everybody who shared {stuff}, you guys are {judge}!
Is it [just|only] me or is {thing} getting {judge} every [day|week|year]?
And then [of course|obviously] I forgot {thing}, because that's [so me|what I do|my life].
[To be fair|I mean|Look], {who} warned me about the {adjective} {part} and I didn't listen.
Tomorrow I have to {do}, then {do}, and I'm already {feel}.
I [guess|suppose|bet] {who} will be {feel} when they see {stuff}.
{wow}, that was {when} and I'm still {feel} about it.
[Ten|Five|Three] minutes later {thing} broke down, which is {judge}.
Why would [anyone|you] {do} when you could {do}?
[Long story short|Short version], {thing} and {who} don't mix, and now I'm {feel}.
I can't wait to {do} with {who}, it will be {judge}!
Some people {act} and that's {judge} I guess, but I'd rather {do}.
Has [anyone|somebody] tried {method}? {who} did {when} and it was {judge}.
[That's all|That is it] for now, I need to {do} before {thing} starts.
Whoever invented {thing} was {judge}, [end of story|period|and I mean it].
You [have to|should totally|gotta] check out {stuff}, it's {judge}.
{who} and I [used to|never] {do} together {when}, and it made me {feel}.
I had {count} cups of coffee and I am {feel}, so bear with me.
The {subject} thing again, {wow}, [people|they] never stop talking about it.
"""

_TITLE = """
my day and {thing}; {thing} is {judge}; random thoughts about {thing}; {wow}, the {subject}; update: {thing}; feeling {feel} today; {stuff} and {thing}; quick question about the {subject}; re: {thing}; monday again
"""

CHATTER_WORDS = {name: phrases(text) for name, text in _WORDS.items()} | {
    "count": phrases("two; three; four; five; seven; nine")
}
CHATTER = {"SAY": phrases(_SAY), "TITLE": phrases(_TITLE)}
