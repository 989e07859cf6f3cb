"""Runs a recipe from pool to result.json. Every stage reuses finished work; a run that was killed can be continued."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dclm.board.result import DataSummary, Result, make_result, write_result
from dclm.core.counts import CheckpointCounts, DocumentsCounts, TokensCounts, counts_of
from dclm.core.errors import ConfigError
from dclm.core.record import Record, provenance, require_complete
from dclm.core.stages.engine import Engine
from dclm.core.stages.lease import held
from dclm.core.stages.ownership import claim_folder
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stores.store import absolute, join
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.eval.run.eval_model import LM_EVAL
from dclm.eval.run.stage import evaluate
from dclm.eval.suite import load_suite, suite_of
from dclm.eval.texts import load_text_set
from dclm.pool.files import InputFile
from dclm.pool.lists import MARK as LIST
from dclm.pool.spec import PoolSpec, pool_paths, resolve_pool
from dclm.pool.texts.recognize import describe_pool
from dclm.recipe.across import dedup_across, training_documents
from dclm.recipe.layout import POOL_PREFIX, STAGES, Layout, StageName
from dclm.recipe.mixing import repeats_declared, tokens_config
from dclm.recipe.models import Means, train_models
from dclm.recipe.recipe import DataSource, LoadedRecipe
from dclm.recipe.result_scores import (
    find_contamination,
    number,
    plain_recipe,
    read_scores,
    source_counts,
    suite_identity,
    task_scores,
    text_scores,
    training_summary,
    verified_records,
)
from dclm.tokens.documents import DocumentSource, SourcePart, files_of_texts
from dclm.tokens.stage import TokenizeConfig, tokenize
from dclm.train.distributed.launch import launch
from dclm.train.distributed.launch_ray import cluster_has_gpus, launch_ray
from dclm.train.distributed.ranks import Device
from dclm.train.run import TrainOptions
from dclm.train.scale import Scale, find_scale

_OF_A_RUN = ("result.json", "*/record.json", "*/*/record.json", "pool/*/*/record.json", "*/.work", "*/*/.work")
"""Files that only a run's directory has; runs of earlier versions have no mark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of one call, in addition to the recipe; only `limit` changes any output by more than rounding."""

    limit: int | None = None
    """Maximum number of records to read from each source."""
    until: StageName = "evaluate"
    """Last stage to run."""
    num_ranks: int = 1
    """Number of training processes (one per GPU)."""
    threads: int = 2
    """CPU threads per training process. See `TrainOptions.threads`."""
    min_ranks: int | None = None
    """On Ray: minimum number of workers to continue with while no more are available."""
    on_ray: bool = False
    """Train on workers of the Ray cluster that the engine is connected to, if several are requested or it has GPUs."""
    cache: str | None = None
    """Directory or URL for work of curation that later runs reuse."""
    force: bool = False
    """Replace finished artifacts that an earlier version of the recipe made."""
    wait: bool = False
    """Wait while another run writes to the directory."""
    device: Device = "auto"
    """For training and evaluation: `auto` uses a GPU if the machine that does the work has one."""
    make_progress: Callable[[], Progress] = NullProgress
    """A class or module-level function: training processes create their own."""
    say: Callable[[str], None] = lambda line: None
    """Called with one line at the end of each stage."""


class Run:
    """One recipe in one directory."""

    def __init__(
        self, loaded: LoadedRecipe, out: Path | str, engine: Engine, options: RunOptions, layout: Layout | None = None
    ) -> None:
        """`layout`: the paths of the artifacts, if not all of them are under `out`."""
        self.loaded, self.recipe = loaded, loaded.recipe
        self.layout = layout or Layout(out=absolute(out), loaded=loaded)
        self.engine, self.options = engine, options
        self.progress = options.make_progress()
        self.scale: Scale = find_scale(self.recipe.scale)
        own = tuple(task for task in self.recipe.tasks if not task.startswith(LM_EVAL))
        self.suite = suite_of(own) if self.recipe.suite is None else load_suite(self.recipe.suite)
        for text in self.recipe.perplexity:  # report a wrong name now, not after training
            load_text_set(text)
        self.sources = (*self.recipe.data, *self.recipe.annotate)
        self.pipelines: dict[str, Pipeline] = {s.name: loaded.pipeline(s) for s in self.sources}
        self.records: list[Record] = []
        self.started = time.time()

    def execute(self) -> str:
        """Run the stages up to `until`; returns the address of the last one's output.

        Raises: IncompleteError if another run is writing to the same directory; the errors of the stages.
        """
        stages = (self.make_pools, self.curate, self.tokenize, self.train, self.evaluate)
        claim_folder(self.layout.out, "run", self._given(), known=_OF_A_RUN)
        made = self.layout.out
        with held(self.layout.out, wait=self.options.wait, say=self.options.say):
            for stage in stages[: STAGES.index(self.options.until) + 1]:
                made = stage()
        return made

    def _given(self) -> list[str]:
        """Paths that the recipe reads; the run's directory must not overlap them."""
        pools = [source.pool for source in self.sources]
        pools += [] if self.recipe.validation is None else [self.recipe.validation]
        given = [path for pool in pools for path in pool_paths(pool) if not path.startswith(POOL_PREFIX)]
        return [self.loaded.path(path).removeprefix(LIST) for path in given]

    def make_pools(self) -> str:
        """Make or find every pool, so that problems with any of them are reported before the work begins."""
        for source in self.sources:
            files = self._pool(source.pool, source.name)
            for line in describe_pool(files):
                self.options.say(f"pool {source.name}: {line}")
        if self.recipe.validation is not None:
            files = self._pool(self.recipe.validation, "validation")
            unfit = [f.path for f in files if f.kind == "warc"]
            if unfit:
                raise ConfigError("validation", f"found {unfit[0]}, allowed: files of texts (JSON lines, CSV, Parquet)")
        return join(self.layout.out, "pool")

    def _pool(self, spec: PoolSpec, name: str) -> tuple[InputFile, ...]:
        return resolve_pool(spec, self.layout.pool(name), self.layout.path)

    def curate(self) -> str:
        """Train the classifiers and models, run every source through its pipeline, and deduplicate between sources."""
        for source in self.recipe.annotate:
            self._curate(source, {})
        o, models = self.options, dict[str, str]()
        means = Means(self.engine, self.progress, o.num_ranks, o.make_progress, o.say, o.force)
        for trained in train_models(self.recipe, self.layout, means):
            models[trained.name] = trained.address
            self.records.append(trained.record)
        self.records += [self._curate(source, models) for source in self.recipe.data]
        self.records += dedup_across(self.recipe, self.layout, self.engine, self.progress, o.say, o.force)
        return join(self.layout.out, "documents")

    def _curate(self, source: DataSource, models: Mapping[str, str]) -> Record:
        r, o, target = self.recipe, self.options, self.layout.documents(source.name)
        options = CurateOptions(seed=r.seed, limit=o.limit, max_reject_fraction=r.max_reject_fraction)
        files, bound = self._pool(source.pool, source.name), bind(self.pipelines[source.name], models)
        how = (bound, files, target, options, self.engine, self.progress)
        c = counts_of(curate(*how, say=o.say, force=o.force, cache=o.cache), DocumentsCounts)
        numbers = f"read {c.read:,} = kept {c.kept:,} + dropped {c.dropped:,} + rejected {c.rejected:,}"
        o.say(f"documents {source.name}: {numbers}")
        return require_complete(target, "documents", r.allow_incomplete)

    def tokenize(self) -> str:
        """Tokenize the documents (mixed, if there are several sources) and the held-out text."""
        inputs = training_documents(self.layout, [s.name for s in self.recipe.data])
        record = self._tokenize(inputs, self.layout.tokens, tokens_config(self.recipe, self.scale))
        self.records.append(record)
        counts = counts_of(record, TokensCounts)
        read = f"{counts.tokens:,} ({counts.distinct_tokens:,} distinct)"
        self.options.say(f"tokens: {read} in {counts.documents:,} documents")
        if self.recipe.validation is not None:
            files = self._pool(self.recipe.validation, "validation")
            config = TokenizeConfig(seq_len=self.scale.model.seq_len, seed=self.recipe.seed, bos=self.recipe.bos)
            texts = [files_of_texts([file], file.name) for file in files]
            held_out = self._tokenize(texts, self.layout.validation, config)
            self.options.say(f"held-out tokens: {counts_of(held_out, TokensCounts).tokens:,}")
        return self.layout.tokens

    def _tokenize(self, texts: Sequence[str | SourcePart | DocumentSource], out: str, config: TokenizeConfig) -> Record:
        name = self.recipe.tokenizer
        tokenizer = self.layout.path(name) if name.endswith(".json") else name
        return tokenize(
            texts,
            out,
            tokenizer=tokenizer,
            config=config,
            engine=self.engine,
            progress=self.progress,
            say=self.options.say,
            allow_missing=self.recipe.allow_incomplete,
            force=self.options.force,
        )

    def train(self) -> str:
        """Train the model, or continue from its last checkpoint."""
        options = TrainOptions(
            validation=self.layout.validation if self.recipe.validation is not None else None,
            epochs=self.recipe.epochs,
            num_tokens=self.recipe.tokens,
            weight_decay=self.recipe.weight_decay,
            resume=True,
            force=self.options.force,
            device=self.options.device,
            threads=self.options.threads,
            track=self.recipe.track,
        )
        wants_gpu = self.options.device == "cuda" or (self.options.device == "auto" and cluster_has_gpus())
        on_ray = self.options.on_ray and (self.options.num_ranks > 1 or wants_gpu)
        elastic = functools.partial(launch_ray, min_ranks=self.options.min_ranks, say=self.options.say)
        start = elastic if on_ray else launch
        record = start(
            self.layout.tokens,
            self.layout.train,
            scale=self.scale,
            seed=self.recipe.seed,
            options=options,
            num_ranks=self.options.num_ranks,
            make_progress=self.options.make_progress,
        )
        self.records.append(record)
        counts = counts_of(record, CheckpointCounts)
        loss = counts.validation_loss
        held_out = "" if loss is None else f", validation loss {loss:.3f}"
        entropy = f"entropy of single tokens {counts.unigram_entropy:.3f} nats"
        self.options.say(f"model {record.name}: training loss {counts.final_loss:.3f}{held_out} ({entropy})")
        return self.layout.train

    def evaluate(self) -> str:
        """Score the model and write result.json."""
        record = evaluate(
            self.layout.train,
            self.layout.scores,
            suite=self.recipe.suite,
            tasks=self.recipe.tasks,
            perplexity=self.recipe.perplexity,
            limit=self.recipe.limit,
            device=self.options.device,
            engine=self.engine,
            progress=self.progress,
            say=self.options.say,
            force=self.options.force,
        )
        self.records.append(record)
        self.records = verified_records(self.records)
        result = self._result(read_scores(self.layout.scores))
        write_result(self.layout.result, result)
        core = "null" if result.core_v2 is None else f"{result.core_v2:.4f}"
        gone = f", {len(result.missing)} of the 53 tasks without a score" if result.missing else ""
        self.options.say(f"result: {len(result.scores)} tasks, CORE {core}{gone} → {self.layout.result}")
        return self.layout.result

    def _contamination(self) -> Mapping[str, Mapping[str, Any]]:
        if not self.recipe.contamination or not self.suite.tasks:
            return {}
        where, documents = self.layout.contamination, self.layout.trained_documents()
        return find_contamination(where, documents, self.suite, self.layout.scores, self.recipe.allow_incomplete)

    def _result(self, scores: Mapping[str, Any]) -> Result:
        trained = next(r for r in self.records if r.kind == "checkpoint")
        documents = [r for r in self.records if r.kind == "documents"]
        tokens = next(r for r in self.records if r.kind == "tokens")
        return make_result(
            name=self.recipe.name,
            scores=task_scores(scores, self._contamination()),
            perplexity=text_scores(scores),
            suite=suite_identity(scores),
            training=training_summary(trained, self._deviations(trained)),
            data=DataSummary(
                pools=tuple(s.name for s in self.recipe.data),
                pipeline=", ".join(r.name for r in documents),
                counts=source_counts([s.name for s in self.recipe.data], documents, tokens),
            ),
            records=self.records,
            track="mixing" if len(self.recipe.data) > 1 else "filtering",
            limited=self.recipe.limit,
            core_v2_stderr=number(scores["core_v2_standard_error"]),
            extended_v2_stderr=number(scores["extended_v2_standard_error"]),
            core_bpb_stderr=number(scores["core_bpb_standard_error"]),
            provenance={**provenance(self.started), "recipe": plain_recipe(self.recipe)},
        )

    def _deviations(self, record: Record) -> tuple[str, ...]:
        deviations = []
        if not self.scale.standard or self.recipe.tokens is not None:
            deviations.append(f"{record.counts['tokens']} tokens instead of the scale's {self.scale.trained_tokens}")
        deviations += repeats_declared(self.recipe)
        if self.recipe.weight_decay not in (None, self.scale.weight_decay):
            deviations.append(f"weight decay {self.recipe.weight_decay:g} instead of {self.scale.weight_decay:g}")
        if self.options.limit is not None:
            deviations.append(f"at most {self.options.limit} records read of each source")
        return tuple(deviations)
