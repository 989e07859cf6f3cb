"""`tokenize` and `train` as functions, with the options of the commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dclm.api.artifacts import Checkpoint, Documents, Tokens, expect
from dclm.api.stages import Path_, Say, silent
from dclm.core.config import build, load_yaml, parse_yaml
from dclm.core.errors import ConfigError
from dclm.core.stages.progress import NullProgress, Progress
from dclm.engine import open_engine
from dclm.tokens.config import Phase, TokenizeConfig
from dclm.tokens.pack import Packing
from dclm.tokens.repeats import DocumentRepeats
from dclm.tokens.tokenizer import Encoder

if TYPE_CHECKING:
    from dclm.train.distributed.ranks import Device
    from dclm.train.optim import Schedule
    from dclm.train.options import Precision
    from dclm.train.output.trackers import TrackerName


def tokenize(
    documents: Documents | Path_ | Sequence[Documents | Path_],
    out: Path_,
    *,
    tokenizer: str = "gpt-neox-20b",
    seq_len: int = 2048,
    seed: int = 0,
    packing: Packing = "stream",
    weights: Sequence[float] | None = None,
    weights_by: Literal["tokens", "documents"] = "tokens",
    temperature: float | None = None,
    phases: Sequence[tuple[float, Sequence[float]]] = (),
    num_tokens: int | None = None,
    max_repeats: float = 1.0,
    source_repeats: Sequence[float] | None = None,
    repeats: Mapping[str, object] | Path_ | None = None,
    rows_per_shard: int = 8192,
    bos: bool | None = None,
    eot: str | None = None,
    encoder: Encoder = "fast",
    allow_incomplete: bool = False,
    force: bool = False,
    wait: bool = False,
    workers: int = 1,
    on: str = "local",
    progress: Progress | None = None,
    say: Say = silent,
) -> Tokens:
    """Tokenize, pack and shuffle documents.

    documents: artifacts, or JSON lines or Parquet files with a column `text`; several are mixed by `weights`, or
    instead by `temperature` (in proportion to size^(1/temperature)), or by `phases`, pairs of a share of the tokens and
    the weights in it. weights_by: what weights and temperature state shares of. tokenizer: an asset's name, or a
    tokenizer.json. seq_len: context length of the model; rows have one more token. max_repeats, source_repeats: maximum
    number of passes over any source, and over each one. repeats: how often each document is read, as a file or a
    mapping (docs/mix.md). bos, eot: whether a token begins each document, and the token that ends it; None: as the
    tokenizer does. force: replace finished tokens that other settings made. wait: wait while another run
    writes to `out`. Raises: ConfigError, DataError, IncompleteError.
    """
    from dclm.tokens.stage import tokenize as run_tokenization

    given = [documents] if isinstance(documents, str | Path | Documents) else list(documents)
    try:
        config = TokenizeConfig(
            seq_len=seq_len,
            seed=seed,
            packing=packing,
            weights=tuple(weights) if weights else None,
            weights_by=weights_by,
            temperature=temperature,
            phases=tuple(Phase(share=share, weights=tuple(each)) for share, each in phases),
            num_tokens=num_tokens,
            max_repeats=max_repeats,
            source_repeats=tuple(source_repeats) if source_repeats else None,
            repeats=_rule(repeats),
            rows_per_shard=rows_per_shard,
            bos=bos,
            eot=eot,
        )
    except ValueError as error:
        raise ConfigError("dclm.tokenize", str(error)) from None
    with open_engine(on, workers, say) as engine:
        run_tokenization(
            [expect(Documents, d) for d in given],
            out,
            tokenizer=tokenizer,
            config=config,
            encoder=encoder,
            engine=engine,
            progress=progress,
            say=say,
            allow_missing=allow_incomplete,
            wait=wait,
            force=force,
        )
    return Tokens(out)


def _rule(repeats: Mapping[str, object] | Path_ | None) -> DocumentRepeats | None:
    if repeats is None or isinstance(repeats, str | Path):
        return None if repeats is None else build(DocumentRepeats, load_yaml(Path(repeats)))
    return build(DocumentRepeats, parse_yaml("{}", "repeats"), repeats)


def train(
    tokens: Tokens | Path_,
    out: Path_,
    *,
    scale: str,
    init: Checkpoint | Path_ | None = None,
    keep_moments: bool = False,
    schedule: Schedule = "cosine",
    open_lm_order: Mapping[str, object] | None = None,
    weight_decay: float | None = None,
    seed: int = 0,
    epochs: int = 1,
    num_tokens: int | None = None,
    validation: Tokens | Path_ | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: int = 2,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 2,
    compile: bool | None = None,
    checkpoint_activations: bool = False,
    shard_over: int | None = None,
    timeout: int = 900,
    track: Sequence[TrackerName] = (),
    on: str = "local",
    num_ranks: int = 1,
    min_ranks: int | None = None,
    resume: bool = True,
    force: bool = False,
    make_progress: Callable[[], Progress] = NullProgress,
    say: Say = silent,
) -> Checkpoint:
    """Train a model at a scale (docs/scales.md, or a .yaml file), or continue from its last checkpoint in `out`.

    init: a model of that shape to start from; keep_moments: with its optimizer's moments. schedule: `linear` is a
    cool-down from the peak rate to the final rate. weight_decay: overrides the scale's, as several passes may need.
    open_lm_order: the settings of an open_lm run whose order to read the rows in. epochs: maximum number of passes over
    the tokens; num_tokens: overrides the scale's token budget, which leaves the benchmark. validation: tokens of a
    held-out text. num_ranks: processes, one per GPU; min_ranks: on Ray, the number to continue with. shard_over: ranks
    that share one copy of the parameters. timeout: seconds that a rank may stall. resume: continue from the last
    checkpoint in `out`; False: refuse if there is one. force: replace a run that other
    settings made. Raises: ConfigError, DataError (too few tokens).
    """
    from dclm.train.distributed.launch import launch
    from dclm.train.distributed.launch_ray import launch_ray
    from dclm.train.open_lm_order import OpenLmOrder
    from dclm.train.options import TrainOptions
    from dclm.train.scale_file import open_scale

    given = parse_yaml("{}", "open_lm_order")
    order = None if open_lm_order is None else build(OpenLmOrder, given, open_lm_order)
    options = TrainOptions(
        validation=None if validation is None else expect(Tokens, validation),
        init=None if init is None else init.path if isinstance(init, Checkpoint) else str(init),
        keep_moments=keep_moments,
        schedule=schedule,
        open_lm_order=order,
        weight_decay=weight_decay,
        epochs=epochs,
        num_tokens=num_tokens,
        resume=resume,
        force=force,
        device=device,
        precision=precision,
        threads=threads,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        compile=compile,
        checkpoint_activations=checkpoint_activations,
        shard_over=shard_over,
        timeout_seconds=timeout,
        track=tuple(track),
    )
    chosen, read = open_scale(scale), expect(Tokens, tokens)
    with open_engine(on, say=say):
        if on.startswith("ray"):
            launch_ray(
                read,
                str(out),
                scale=chosen,
                seed=seed,
                options=options,
                num_ranks=num_ranks,
                min_ranks=min_ranks,
                make_progress=make_progress,
                say=say,
            )
        else:
            launch(
                read,
                str(out),
                scale=chosen,
                seed=seed,
                options=options,
                num_ranks=num_ranks,
                make_progress=make_progress,
            )
    return Checkpoint(out)
