"""Trains a swarm: curates every source once, then trains a proxy per mixture, each evaluated on the held-out texts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import fingerprint, read_record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stages.ownership import claim_folder
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.storage import write_atomic
from dclm.core.stores.store import absolute
from dclm.eval.run.stage import evaluate
from dclm.recipe.layout import Layout, SharingLayout
from dclm.recipe.recipe import DedupAcross, LoadedRecipe
from dclm.recipe.result_scores import read_scores
from dclm.recipe.run import Run, RunOptions
from dclm.science.experiment.held_out import write_held_out
from dclm.science.mix.parts import find_parts, make_parts, proportions
from dclm.science.mix.swarm import LoadedSwarm, Splits, propose
from dclm.science.mix.table import read_table, write_table
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.train.held_out import held_out_bits
from dclm.train.scale import Scale

MIXTURES, LOSSES = "mixtures.csv", "losses.csv"
VERSION = 3
"""Part of a proxy's identity: raise it when the same mixture gives other measurements."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proxy:
    """One model to train and evaluate: a unit of work."""

    recipe: LoadedRecipe
    """Only the sources that have a share, and their weights."""
    scale: Scale
    shared: str
    """Directory of the documents."""
    out: str
    held_out: Mapping[str, str]
    """Name → tokens of the text."""
    tasks: tuple[str, ...]
    limit: int | None


def write_mixtures(loaded: LoadedSwarm, out: Path, splits: Splits | None = None) -> dict[str, dict[str, float]]:
    """Propose the mixtures, keep those that OUT/mixtures.csv already has, and write the file.

    splits: see `propose`. Raises: ConfigError if a source is to be split and `splits` does not say how.
    """
    if loaded.swarm.by and splits is None:
        what = "the labels of `by` are only known once the documents are curated"
        raise ConfigError("mixtures", what, "train the swarm")
    claim_folder(out, "run", list(loaded.held_out.values()), known=(MIXTURES,))
    path = out / MIXTURES
    mixtures = propose(loaded, read_table(path) if path.exists() else None, splits)
    sources = next(iter(mixtures.values()))
    columns = {source: [row[source] for row in mixtures.values()] for source in sources}
    write_table(path, "run", list(mixtures), columns)
    return mixtures


def train_swarm(
    loaded: LoadedSwarm,
    out: Path,
    engine: Engine,
    *,
    force: bool = False,
    cache: str | None = None,
    make_progress: Callable[[], Progress] = NullProgress,
    say: Callable[[str], None] = lambda line: None,
) -> Splits:
    """Write OUT/mixtures.csv and OUT/losses.csv. Finished proxies are kept; raises the errors of the stages.

    Returns how sources were split by their labels, for `read_mixtures`: proxies that read one as a whole stay valid.

    force: replace documents and held-out tokens that an earlier version of the recipe made. cache: directory or URL for
    work of curation that later runs reuse.

    A proxy is identified by its mixture, the documents of the sources it reads, and how it is trained: when a source is
    added, proxies that never read it stay valid.
    """
    splits: Splits = {}
    if not loaded.swarm.by:
        mixtures = write_mixtures(loaded, out)
    options = RunOptions(until="curate", force=force, cache=cache, make_progress=make_progress, say=say)
    run = Run(loaded.recipe, out, engine, options)
    run.execute()
    if loaded.swarm.by:
        splits = _split(loaded, run, force, say)
        mixtures = write_mixtures(loaded, out, splits)
    held_out = _held_out(loaded, out, engine, force)
    owners = {part: source for source, parts in splits.items() for part in parts}
    proxies = {name: _proxy(loaded, out, shares, held_out, owners) for name, shares in mixtures.items()}
    losses: dict[str, dict[str, float]] = {}
    progress = make_progress()
    progress.start("train proxies", len(proxies), "proxies")
    names = list(proxies)
    for index, found in engine.map(train_proxy, list(proxies.values())):
        losses[names[index]] = found
        progress.advance()
    progress.finish()
    columns = {target: [losses[name][target] for name in names] for target in (*held_out, *loaded.swarm.tasks)}
    for average, weights in loaded.swarm.averages.items():
        total = sum(weights.values())
        columns[average] = [sum(w * losses[name][part] for part, w in weights.items()) / total for name in names]
    write_table(out / LOSSES, "run", names, columns)
    say(f"{len(names)} proxies: {out / MIXTURES}, {out / LOSSES}")
    return splits


def train_proxy(proxy: Proxy) -> dict[str, float]:
    """Tokenize, train and evaluate one proxy: held-out text or task → bits per byte. A finished one is only read."""
    out = Path(proxy.out)
    finished = out / "losses.json"
    known: dict[str, float] = json.loads(finished.read_text(encoding="utf-8")) if finished.exists() else {}
    if known.keys() == proxy.held_out.keys() and not proxy.tasks:
        return known
    shared = Layout(out=absolute(proxy.shared), loaded=proxy.recipe)
    layout = SharingLayout(out=absolute(out), loaded=proxy.recipe, shared=shared)
    run = Run(
        proxy.recipe, out, SerialEngine(), RunOptions(until="train", threads=1), layout
    )  # proxies run next to each other
    run.scale = proxy.scale
    run.tokenize()
    model = run.train()
    if known.keys() != proxy.held_out.keys():
        known = {name: held_out_bits(Path(model), Path(tokens)) for name, tokens in proxy.held_out.items()}
        write_atomic(finished, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return known | _task_bits(proxy, model)


def _task_bits(proxy: Proxy, model: str) -> dict[str, float]:
    """Task → bits per byte of its right answers. Raises: DataError for a task without them."""
    if not proxy.tasks:
        return {}
    scores = str(Path(proxy.out) / f"scores-{fingerprint([proxy.tasks, proxy.limit])[:8]}")
    evaluate(model, scores, tasks=proxy.tasks, limit=proxy.limit, engine=SerialEngine())
    report = read_scores(scores)
    found = {}
    for task in proxy.tasks:
        score = report["tasks"].get(task)
        bits = None if score is None else score["continuous"]["bits_per_byte"]
        if bits is None:
            reason = report["reasons"].get(task, "its items state no probability of the right answer")
            raise DataError(f"task {task}", f"has no bits per byte: {reason}", "choose another task")
        found[task] = float(bits["value"])
    return found


def _among(rule: DedupAcross | None, names: Sequence[str]) -> DedupAcross | None:
    """The rule without the sources that a proxy does not read."""
    return None if rule is None else dataclasses.replace(rule, prefer=tuple(n for n in rule.prefer if n in names))


def _split(loaded: LoadedSwarm, run: Run, force: bool, say: Callable[[str], None]) -> Splits:
    """Make the documents of every part of the sources to split; returns the parts' shares of their source's text."""
    splits = {}
    for source, columns in loaded.swarm.by.items():
        names = (columns,) if isinstance(columns, str) else columns
        parts = find_parts(source, run.layout.documents(source), names, loaded.swarm.min_label_share)
        make_parts(parts, source, run.layout.documents, run.engine, run.progress, force=force, say=say)
        splits[source] = proportions(parts)
    return splits


def _proxy(
    loaded: LoadedSwarm, out: Path, shares: Mapping[str, float], held_out: Mapping[str, Path], owners: Mapping[str, str]
) -> Proxy:
    """owners: part → the source that it belongs to."""
    recipe, swarm = loaded.recipe.recipe, loaded.swarm
    sources = {source.name: source for source in recipe.data}
    data = tuple(
        dataclasses.replace(sources[owners.get(name, name)], name=name, weight=share)
        for name, share in sorted(shares.items(), key=lambda item: list(sources).index(owners.get(item[0], item[0])))
        if share
    )
    changed = dataclasses.replace(
        recipe,
        data=data,
        dedup_across=_among(recipe.dedup_across, [source.name for source in data]),
        phases=(),
        temperature=None,
        tokens=swarm.tokens,
        seed=swarm.seed,
        validation=None,
    )
    layout = Layout(out=absolute(out), loaded=dataclasses.replace(loaded.recipe, recipe=changed))
    documents = layout.trained_documents()
    identity = fingerprint(
        {
            "stage": "proxy",
            "version": VERSION,
            "shares": {source.name: source.weight for source in data},
            "documents": {name: read_record(place).fingerprint for name, place in documents.items()},
            "tokenizer": recipe.tokenizer,
            "scale": loaded.scale,
            "tokens": swarm.tokens,
            "epochs": recipe.epochs,
            "max_repeats": {source.name: source.max_repeats for source in data},
            "weights_by": recipe.weights_by,
            "repeats": recipe.repeats,
            "seed": swarm.seed,
            "held_out": {name: read_record(path).fingerprint for name, path in held_out.items()},
        }
    )
    return Proxy(
        recipe=dataclasses.replace(loaded.recipe, recipe=changed),
        scale=loaded.scale,
        shared=str(out.resolve()),
        out=str((out / "proxies" / identity[:16]).resolve()),
        held_out={name: str(path.resolve()) for name, path in held_out.items()},
        tasks=swarm.tasks,
        limit=swarm.limit,
    )


def _held_out(loaded: LoadedSwarm, out: Path, engine: Engine, force: bool) -> dict[str, Path]:
    """Name → tokens artifact of each held-out text."""
    name = loaded.recipe.recipe.tokenizer
    tokenizer = loaded.recipe.path(name) if name.endswith(".json") else name
    config = TokenizeConfig(seq_len=loaded.scale.model.seq_len)
    made = {}
    for text, spec in loaded.swarm.held_out.items():
        chosen = out / "held-out" / f"{text}.jsonl"
        write_held_out(spec, loaded.held_out[text], chosen)
        made[text] = out / "held-out" / text
        tokenize(
            [chosen],
            made[text],
            tokenizer=tokenizer,
            config=config,
            engine=engine,
            progress=NullProgress(),
            force=force,
        )
    return made
