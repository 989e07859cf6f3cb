"""Trains a swarm: curates every source once, then trains a proxy per mixture, each evaluated on the held-out texts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dclm.core.engine import Engine, SerialEngine
from dclm.core.ownership import claim_folder
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import fingerprint, read_record
from dclm.core.storage import write_atomic
from dclm.core.store import absolute
from dclm.recipe.layout import Layout, SharingLayout
from dclm.recipe.recipe import DedupAcross, LoadedRecipe
from dclm.recipe.run import Run, RunOptions
from dclm.science.experiment.held_out import write_held_out
from dclm.science.mix.swarm import LoadedSwarm, propose
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


def write_mixtures(loaded: LoadedSwarm, out: Path) -> dict[str, dict[str, float]]:
    """Propose the mixtures, keep those that OUT/mixtures.csv already has, and write the file."""
    claim_folder(out, "run", list(loaded.held_out.values()), known=(MIXTURES,))
    path = out / MIXTURES
    mixtures = propose(loaded, read_table(path) if path.exists() else None)
    columns = {source: [row[source] for row in mixtures.values()] for source in loaded.sources}
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
) -> None:
    """Write OUT/mixtures.csv and OUT/losses.csv. Finished proxies are kept; raises the errors of the stages.

    force: replace documents and held-out tokens that an earlier version of the recipe made. cache: directory or URL for
    work of curation that later runs reuse.

    A proxy is identified by its mixture, the documents of the sources it reads, and how it is trained: when a source is
    added, proxies that never read it stay valid.
    """
    mixtures = write_mixtures(loaded, out)
    options = RunOptions(until="curate", force=force, cache=cache, make_progress=make_progress, say=say)
    Run(loaded.recipe, out, engine, options).execute()
    held_out = _held_out(loaded, out, engine, force)
    proxies = {name: _proxy(loaded, out, shares, held_out) for name, shares in mixtures.items()}
    losses: dict[str, dict[str, float]] = {}
    progress = make_progress()
    progress.start("train proxies", len(proxies), "proxies")
    names = list(proxies)
    for index, found in engine.map(train_proxy, list(proxies.values())):
        losses[names[index]] = found
        progress.advance()
    progress.finish()
    columns = {target: [losses[name][target] for name in names] for target in held_out}
    write_table(out / LOSSES, "run", names, columns)
    say(f"{len(names)} proxies: {out / MIXTURES}, {out / LOSSES}")


def train_proxy(proxy: Proxy) -> dict[str, float]:
    """Tokenize, train and evaluate one proxy: held-out text → bits per byte. A finished one is only read."""
    out = Path(proxy.out)
    finished = out / "losses.json"
    if finished.exists():
        known: dict[str, float] = json.loads(finished.read_text(encoding="utf-8"))
        if known.keys() == proxy.held_out.keys():
            return known
    shared = Layout(out=absolute(proxy.shared), loaded=proxy.recipe)
    layout = SharingLayout(out=absolute(out), loaded=proxy.recipe, shared=shared)
    run = Run(
        proxy.recipe, out, SerialEngine(), RunOptions(until="train", threads=1), layout
    )  # proxies run next to each other
    run.scale = proxy.scale
    run.tokenize()
    model = run.train()
    losses = {name: held_out_bits(Path(model), Path(tokens)) for name, tokens in proxy.held_out.items()}
    write_atomic(finished, (json.dumps(losses, indent=1, sort_keys=True) + "\n").encode())
    return losses


def _among(rule: DedupAcross | None, names: Sequence[str]) -> DedupAcross | None:
    """The rule without the sources that a proxy does not read."""
    return None if rule is None else dataclasses.replace(rule, prefer=tuple(n for n in rule.prefer if n in names))


def _proxy(loaded: LoadedSwarm, out: Path, shares: Mapping[str, float], held_out: Mapping[str, Path]) -> Proxy:
    recipe, swarm = loaded.recipe.recipe, loaded.swarm
    data = tuple(
        dataclasses.replace(source, weight=shares[source.name]) for source in recipe.data if shares[source.name]
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
