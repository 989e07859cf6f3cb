"""The page of one entry: scores compared with similar published runs, data, chain, rules."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence

from dclm.board.entry import Entry
from dclm.board.pages.explain import explain
from dclm.board.pages.frame import frame
from dclm.board.pages.multiplier import DEFAULT, multiplier
from dclm.board.pages.neighbors import Neighbors, neighbors
from dclm.board.pages.taskplot import render_tasks
from dclm.board.result import Link, Measure, Result
from dclm.board.tracks import rules
from dclm.board.uncertainty import core_error, task_error
from dclm.charts.scroll import scrolled
from dclm.charts.svg import attributes, words
from dclm.eval.statistics.continuous import METRICS
from dclm.eval.suite import load_suite


def render_detail(entry: Entry, json_link: str | None = None, home: str = "../") -> str:
    """The page of `entry`. `json_link`: URL of its result.json relative to the page."""
    near = neighbors(entry)
    why = "".join(f"<p>{_escape(sentence)}</p>" for sentence in explain(entry))
    standing = "" if not why else f'<section class="panel warn"><h2>{_heading(entry)}</h2>{why}</section>'
    parts = [standing, _numbers(entry, json_link), _tasks(entry, near), *_data(entry.result), _rules(entry)]
    parts += [_chain(entry.result), _reproduce(entry)]
    return frame(
        f"{entry.shown} · DCLM leaderboard",
        f'<header><p><a href="{home}">← leaderboard</a></p><h1>{_escape(entry.shown)}</h1></header>\n'
        f"<main>{''.join(parts)}</main>\n",
    )


def _heading(entry: Entry) -> str:
    if entry.published:
        return "Published, for reference"
    return "Evaluation only" if entry.standing == "evaluated" else "Not ranked"


def _numbers(entry: Entry, json_link: str | None) -> str:
    result, training = entry.result, entry.result.training
    error = core_error(result)
    core = _percent(result.core_v2)
    if error is not None:
        core += f" ± {100 * error.value:.2f}" + ("" if error.measured else " (binomial)")
    rows: list[tuple[str, str | None]] = [
        ("CORE (v2)", core),
        ("CORE (v1)", _percent(result.core_v1)),
        ("Bits per byte over CORE", _bits(result)),
        ("EXTENDED (v2)", _percent(result.extended_v2)),
        ("Scale", training.scale),
        ("Parameters", None if training.params is None else f"{training.params:,}"),
        ("Training tokens", None if training.tokens is None else f"{training.tokens:,}"),
        ("FLOPs (6 · N · D)", None if training.flops is None else f"{training.flops:.3e}"),
        (f"FLOPs that {DEFAULT} needs", _times(result)),
        ("Seed", None if training.seed is None else str(training.seed)),
        ("Training loss", _nats(training.final_loss)),
        ("Validation loss", _nats(training.validation_loss)),
        *(
            (f"Bits per byte, {n}", _measure(Measure(value=t.bits_per_byte, stderr=t.stderr)))
            for n, t in result.perplexity.items()
        ),
        ("Track", None if result.imported is not None or result.evaluation_only else result.track),
        ("Suite", f"{result.suite.name} {result.suite.version}"),
        ("Corpus", ", ".join(result.data.pools) or None),
        ("Pipeline", result.data.pipeline),
        ("Source", result.imported),
        ("Submitted by", entry.submitter),
        ("Received", entry.received),
    ]
    cells = "".join(f"<dt>{_escape(k)}</dt><dd>{_escape(v or 'unknown')}</dd>" for k, v in _known(rows))
    link = "" if json_link is None else f'<p><a href="{_escape(json_link)}">result.json</a></p>'
    return f'<section class="panel"><h2>Numbers</h2><dl class="facts">{cells}</dl>{link}</section>'


_ALWAYS = ("CORE (v2)", "EXTENDED (v2)", "Scale", "Parameters", "Training tokens", "FLOPs (6 · N · D)")


def _known(rows: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    return ((name, value) for name, value in rows if value is not None or name in _ALWAYS)


def _tasks(entry: Entry, near: Neighbors) -> str:
    links = ", ".join(
        f'<a href="{other.id}.html">{_escape(other.shown)}</a> ({_percent(other.result.core_v2)})'
        for other in near.entries
    )
    said = f"<p>Gray: {_escape(near.why)}: {links}.</p>" if near.entries else ""
    rows = "".join(_task_row(entry.result, task, near.entries) for task in load_suite("extended").labels)
    head = '<tr class="head"><th>Task</th><th>Score</th><th>±</th><th>Items</th><th>Clean</th><th>Published</th></tr>'
    table = scrolled(f'<table class="plain">{head}{rows}</table>', "Scores per task")
    return f"""<section class="panel"><h2>Scores per task</h2>
{render_tasks(entry.result, [other.result for other in near.entries])}
{said}<p class="note">Bars are one standard error; hollow dots have a binomial error, estimated from the number of
items. The tick marks random guessing.</p>
<details><summary>All scores as a table</summary>{table}</details>{_continuous(entry.result)}</section>"""


def _task_row(result: Result, task: str, others: Sequence[Entry]) -> str:
    score, error = result.scores.get(task), task_error(result, task)
    known = [o.result.scores[task].score for o in others if task in o.result.scores]
    near = f"{100 * min(known):.1f} to {100 * max(known):.1f}" if known else "—"
    if score is None:
        cells = ["—", "—", "—", "—"]
    else:
        clean = "—" if score.clean_score is None else f"{100 * score.clean_score:.1f} of {score.clean_n:,}"
        cells = [
            f"{100 * score.score:.1f}",
            "—" if error is None else f"{100 * error.value:.1f}",
            "—" if score.n is None else f"{score.n:,}",
            clean,
        ]
    body = "".join(f"<td>{cell}</td>" for cell in [*cells, near])
    return f'<tr><th scope="row">{task}</th>{body}</tr>'


def _continuous(result: Result) -> str:
    """The continuous scores of all tasks; empty if the result has none."""
    known = {task: s for task, s in result.scores.items() if s.continuous}
    if not known:
        return ""
    titles = "".join(f"<th>{_escape(metric.title.capitalize())}</th>" for metric in METRICS.values())
    rows = "".join(
        f'<tr><th scope="row">{task}</th>'
        + "".join(f"<td>{_measure(score.continuous.get(metric))}</td>" for metric in METRICS)
        + "</tr>"
        for task, score in known.items()
    )
    body = f'<table class="plain"><tr class="head"><th>Task</th>{titles}</tr>{rows}</table>'
    return f"<details><summary>Continuous scores</summary>{scrolled(body, 'Continuous scores', far=True)}</details>"


def _measure(measure: Measure | None) -> str:
    if measure is None:
        return "—"
    return f"{measure.value:.3f}" + ("" if measure.stderr is None else f" ± {measure.stderr:.3f}")


def _times(result: Result) -> str | None:
    found = multiplier(result)
    if found is None:
        return None
    known = found.low is not None and found.high is not None
    ends = f"95 % {found.low:.2f} to {found.high:.2f}" if known else "no bounds"
    beyond = ", extrapolated" if found.extrapolated else ""
    return f"{found.value:.2f} times as many for this CORE ({ends}{beyond})"


def _bits(result: Result) -> str | None:
    if result.core_bpb is None:
        return None
    return _measure(Measure(value=result.core_bpb, stderr=result.core_bpb_stderr))


def _data(result: Result) -> Iterator[str]:
    bars = "".join(
        _waterfall(name, counts) for name, counts in result.data.counts.items() if isinstance(counts, Mapping)
    )
    if bars:
        yield f'<section class="panel"><h2>How the data was filtered</h2>{bars}</section>'


def _waterfall(name: str, counts: Mapping[str, object]) -> str:
    """One source: how many of the documents read were kept, dropped by a step, and rejected as unreadable."""
    numbers = {k: v for k in ("read", "kept", "dropped", "rejected") if isinstance(v := counts.get(k), int)}
    read = numbers.get("read", 0)
    if read <= 0:
        return ""
    rects, start = [], 0.0
    for part in ("kept", "dropped", "rejected"):
        width = 960 * numbers.get(part, 0) / read
        rects.append(f'<rect class="{part}" x="{start:.1f}" y="0" width="{max(width, 0):.1f}" height="18"/>')
        start += width
    said = " · ".join(f"{part} {numbers[part]:,} ({numbers[part] / read:.1%})" for part in numbers if part != "read")
    more = ""
    if counts.get("decisions"):
        text = json.dumps(counts["decisions"], indent=1, ensure_ascii=False)[:20_000]
        more = f"<details><summary>Decisions of its steps</summary><pre>{_escape(text)}</pre></details>"
    return (
        f"<h3>{_escape(name)}: {read:,} read</h3>"
        f'<svg class="bar-chart" viewBox="0 0 960 18" preserveAspectRatio="none" {attributes(said)}>'
        f"{words(said)}{''.join(rects)}</svg>"
        f"<p>{_escape(said)}</p>{more}"
    )


def _rules(entry: Entry) -> str:
    if entry.published:
        return ""
    rows = "".join(
        f'<tr><td class="verdict-cell"><span class="verdict {rule.verdict.split()[0]}">{rule.verdict}</span></td>'
        f'<th scope="row">{_escape(rule.name)}</th><td class="text">{_escape(rule.reason)}</td></tr>'
        for rule in rules(entry)
    )
    title = f"Rules of the track “{_escape(entry.result.track)}”"
    table = scrolled(f'<table class="plain">{rows}</table>', "Rules")
    return f'<section class="panel"><h2>{title}</h2>{table}</section>'


def _chain(result: Result) -> str:
    if not result.chain:
        return ""
    names = {link.fingerprint: f"{link.kind} {link.name}" for link in result.chain}
    items = "".join(_link(link, names) for link in result.chain)
    return f'<section class="panel"><h2>Chain of artifacts</h2><ol class="chain">{items}</ol></section>'


def _link(link: Link, names: Mapping[str, str]) -> str:
    made = ", ".join(names.get(mark, f"{role} {mark[:8]}") for role, mark in list(link.inputs.items())[:8])
    files = "".join(f"<br>{_escape(file)} <code>sha256 {mark[:16]}</code>" for file, mark in link.content.items())
    source = f" from {_escape(made)}" if made else ""
    title = f"<b>{_escape(link.kind)}</b> {_escape(link.name)} <code>{link.fingerprint[:16]}</code>"
    return f"<li>{title}{source}{files}</li>"


def _reproduce(entry: Entry) -> str:
    result = entry.result
    if result.imported is not None:
        return ""
    recipe = result.provenance.get("recipe")
    commit, version = result.provenance.get("git_commit"), result.provenance.get("dclm")
    at = "" if commit is None else f", commit <code>{_escape(str(commit))}</code>"
    made = "" if version is None else f"<p>Made by dclm {_escape(str(version))}{at}.</p>"
    text = ""
    if recipe is not None:
        shown = _escape(json.dumps(recipe, indent=1, ensure_ascii=False)[:20_000])
        text = f"<p>Save this as <code>recipe.json</code>:</p><pre>{shown}</pre>"
    last = result.chain[-1].fingerprint[:16] if result.chain else ""
    if result.evaluation_only:
        command = f"dclm evaluate {result.provenance.get('model', 'MODEL')} --suite {result.suite.name} --out out/again"
        return f'<section class="panel"><h2>How to reproduce it</h2>{made}<pre>{_escape(command)}</pre></section>'
    name = "recipe.json" if recipe is not None else "RECIPE.yaml"
    return (
        f'<section class="panel"><h2>How to reproduce it</h2>{made}{text}'
        f"<pre>dclm run {name} --out out/again\ndclm board check out/again/result.json</pre>"
        f"<p>The scores are the same artifact if their fingerprint is again <code>{last}…</code>.</p></section>"
    )


def _nats(loss: float | None) -> str | None:
    return None if loss is None else f"{loss:.4f} nats per token"


def _percent(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.2f}"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
