"""Trains a recipe's models before its pipelines run: fastText classifiers, and the models that scoring steps name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dclm.core.counts import CheckpointCounts, counts_of
from dclm.core.record import Record, digest_of
from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import Progress
from dclm.core.stores.store import join
from dclm.model.load import find_checkpoint
from dclm.recipe.layout import Layout
from dclm.recipe.recipe import Recipe
from dclm.select.classifier.train import describe, train_classifier
from dclm.select.hosts.graph import RANKS, HostGraphSpec, rank_hosts
from dclm.select.model_spec import LanguageModelSpec, Spec
from dclm.select.ngram.train import MODEL as NGRAM
from dclm.select.ngram.train import NgramSpec, train_ngram
from dclm.select.semantic.head import MODEL as HEAD
from dclm.select.semantic.head import HeadSpec, train_head
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.train.distributed.launch import launch
from dclm.train.run import TrainOptions
from dclm.train.scale import find_scale


class Trained(NamedTuple):
    """A trained model."""

    name: str
    address: str
    """Path that a step opens under that name."""
    record: Record
    """Record of kind classifier or model."""


class Means(NamedTuple):
    """Options of training besides the recipe."""

    engine: Engine
    progress: Progress
    num_ranks: int
    make_progress: Callable[[], Progress]
    say: Callable[[str], None]
    force: bool = False
    """Replace models that an earlier version of the recipe made."""


def train_models(recipe: Recipe, layout: Layout, means: Means) -> Iterator[Trained]:
    """Train the classifiers and models of a recipe in their order; existing ones are reused."""
    for name, classifier in recipe.classifiers.items():
        spec = classifier.with_paths(layout.path)
        record = train_classifier(spec, layout.classifier(name), means.progress, force=means.force)
        address = join(layout.classifier(name), "model.bin")
        means.say(f"classifier {name}: {describe(record.counts)}")
        yield Trained(name, address, record)
    for name, model in recipe.models.items():
        yield _train(name, model.spec.with_paths(layout.path), layout.model(name), means)


def _train(name: str, spec: Spec, out: str, means: Means) -> Trained:
    if isinstance(spec, LanguageModelSpec):
        return _train_language_model(name, spec, out, means)
    if isinstance(spec, NgramSpec):
        record = train_ngram(spec, out, force=means.force)
        what = f"{record.counts['words']:,} words, n-grams by order {record.counts['ngrams']}"
        means.say(f"model {name}: {what}")
        return Trained(name, join(out, NGRAM), record)
    if isinstance(spec, HeadSpec):
        record = train_head(spec, out, force=means.force)
        means.say(f"model {name}: {describe(record.counts)}")
        return Trained(name, join(out, HEAD), record)
    assert isinstance(spec, HostGraphSpec)
    record = rank_hosts(spec, out, force=means.force)
    what = f"{record.counts['hosts']:,} hosts with {record.counts['links']:,} links"
    means.say(f"model {name}: {what}")
    return Trained(name, join(out, RANKS), record)


def _train_language_model(name: str, spec: LanguageModelSpec, out: str, means: Means) -> Trained:
    scale = find_scale(spec.scale)
    tokenize(
        list(spec.texts),
        join(out, "tokens"),
        tokenizer=spec.tokenizer,
        config=TokenizeConfig(seq_len=scale.model.seq_len, seed=spec.seed),
        engine=means.engine,
        progress=means.progress,
        say=means.say,
        force=means.force,
    )
    record = launch(
        join(out, "tokens"),
        join(out, "train"),
        scale=scale,
        seed=spec.seed,
        options=TrainOptions(epochs=spec.epochs, num_tokens=spec.tokens, resume=True, force=means.force),
        num_ranks=means.num_ranks,
        make_progress=means.make_progress,
    )
    means.say(f"model {name}: {scale.name}, training loss {counts_of(record, CheckpointCounts).final_loss:.3f}")
    link = dataclasses.replace(record, kind="model", name=name)  # not the tokens and checkpoint of the result
    link = dataclasses.replace(link, digest=digest_of(link))
    return Trained(name, str(find_checkpoint(join(out, "train"))), link)
