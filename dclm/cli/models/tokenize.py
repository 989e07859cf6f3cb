"""`dclm tokenize`: documents → tokens; `dclm tokens import | export`: to and from open_lm's WebDataset folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import click

from dclm.cli.shared.options import (
    ADDRESS,
    LOCAL_PATH,
    ConsoleProgress,
    engine_options,
    put_artifact,
    put_result,
    replace_option,
    say,
    wait_option,
)
from dclm.core.config import build, load_yaml
from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.engine import open_engine
from dclm.tokens.config import Phase, TokenizeConfig
from dclm.tokens.pack import Packing
from dclm.tokens.repeats import DocumentRepeats
from dclm.tokens.stage import tokenize as run
from dclm.tokens.tokenizer import Encoder
from dclm.tokens.webdataset import OPEN_LM_VOCAB_SIZE, export_webdataset, import_webdataset

seq_len_option = click.option(
    "--seq-len",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    help="Context length; rows have one more token.",
)


@click.command()
@click.argument("documents", nargs=-1, required=True, type=ADDRESS)
@click.option("--tokenizer", default="gpt-neox-20b", show_default=True, help="Asset name, or a tokenizer.json.")
@seq_len_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=ADDRESS, required=True)
@click.option(
    "--packing",
    type=click.Choice(["stream", "dclm"]),
    default="stream",
    show_default=True,
    help="stream: no token is lost. dclm: the last row of each file is padded, as in open_lm.",
)
@click.option("--weight", "weights", type=float, multiple=True, help="Mixture weight of each of DOCUMENTS, in order.")
@click.option("--num-tokens", type=click.IntRange(1), help="Number of tokens to train on. [default: all]")
@click.option(
    "--max-repeats",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Maximum number of passes over a source.",
)
@click.option(
    "--source-repeats",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    metavar="PASSES",
    help="Maximum number of passes over each of DOCUMENTS, in order, instead of --max-repeats.",
)
@click.option(
    "--weights-by",
    type=click.Choice(["tokens", "documents"]),
    default="tokens",
    show_default=True,
    help="Whether weights and temperature state shares of the tokens, or of the documents.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    metavar="T",
    help="Instead of weights: each source in proportion to its size to the power 1/T, within its passes.",
)
@click.option(
    "--phase",
    "phases",
    multiple=True,
    metavar="SHARE:WEIGHT,…",
    help="Instead of weights: a phase of training, its share of the tokens and the weight of each of DOCUMENTS in it.",
)
@click.option(
    "--repeats",
    type=LOCAL_PATH,
    metavar="FILE.yaml",
    help="How often each document is read, by one of its columns (docs/mix.md).",
)
@click.option("--rows-per-shard", type=click.IntRange(1), default=8192, show_default=True)
@click.option(
    "--bos/--no-bos",
    default=None,
    help="Begin each document with a token. [default: the tokenizer's own setting]",
)
@click.option("--eot", help="Token that ends a document. [default: <|endoftext|> or its equivalent]")
@click.option(
    "--encoder",
    type=click.Choice(["fast", "hf"]),
    default="fast",
    show_default=True,
    help="fast: use fastokens if its ids equal Hugging Face's.",
)
@click.option("--allow-incomplete", is_flag=True, help="Accept artifacts with missing parts.")
@engine_options
@replace_option
@wait_option
def tokenize(
    documents: tuple[str, ...],
    tokenizer: str,
    seq_len: int,
    seed: int,
    out: str,
    packing: str,
    weights: tuple[float, ...],
    num_tokens: int | None,
    max_repeats: float,
    source_repeats: tuple[float, ...],
    weights_by: Literal["tokens", "documents"],
    temperature: float | None,
    phases: tuple[str, ...],
    repeats: Path | None,
    rows_per_shard: int,
    bos: bool | None,
    eot: str | None,
    encoder: str,
    allow_incomplete: bool,
    on: str,
    workers: int | None,
    force: bool,
    wait: bool,
) -> None:
    """Tokenize, pack and shuffle DOCUMENTS (artifacts, JSONL, Parquet) into OUT."""
    rule = None if repeats is None else build(DocumentRepeats, load_yaml(repeats))
    try:
        config = TokenizeConfig(
            seq_len=seq_len,
            seed=seed,
            packing=cast(Packing, packing),
            weights=weights or None,
            num_tokens=num_tokens,
            max_repeats=max_repeats,
            source_repeats=source_repeats or None,
            weights_by=weights_by,
            temperature=temperature,
            phases=tuple(map(_phase, phases)),
            repeats=rule,
            rows_per_shard=rows_per_shard,
            bos=bos,
            eot=eot,
        )
    except ValueError as error:
        raise ConfigError("options", str(error)) from None
    with open_engine(on, workers) as engine:
        record = run(
            documents,
            out,
            tokenizer=tokenizer,
            config=config,
            encoder=cast(Encoder, encoder),
            engine=engine,
            progress=ConsoleProgress(),
            say=say,
            wait=wait,
            force=force,
            allow_missing=allow_incomplete,
        )
    _account(out, record)
    say(f"{out}: encoded by {record.provenance['encoder']}, {record.provenance['wall_seconds']} s")


@click.group()
def tokens() -> None:
    """Import and export token sets of open_lm: WebDataset folders of tar files with a manifest.jsonl."""


@tokens.command("import")
@click.argument("folder")
@click.option("--out", type=LOCAL_PATH, required=True)
@seq_len_option
@click.option(
    "--vocab-size",
    type=click.IntRange(1),
    help="Vocabulary size of the model; required for negative ids, which count from its end. "
    f"Default: {OPEN_LM_VOCAB_SIZE}, without negative ids.",
)
@engine_options
@replace_option
def import_(
    folder: str, out: Path, seq_len: int, vocab_size: int | None, on: str, workers: int | None, force: bool
) -> None:
    """Make the tokens artifact OUT from FOLDER (a directory or URL), such as one of DCLM's published token sets."""
    with open_engine(on, workers) as engine:
        record = import_webdataset(
            folder, out, seq_len=seq_len, vocab_size=vocab_size, engine=engine, progress=ConsoleProgress(), force=force
        )
    _account(str(out), record)


@tokens.command("export")
@click.argument("artifact", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True)
@engine_options
def export(artifact: Path, out: Path, on: str, workers: int | None) -> None:
    """Write the tokens ARTIFACT in the format that open_lm's training reads."""
    with open_engine(on, workers) as engine:
        export_webdataset(artifact, out, engine=engine, progress=ConsoleProgress())
    put_result({"path": out}, None)


def _phase(text: str) -> Phase:
    share, _, weights = text.partition(":")
    try:
        return Phase(share=float(share), weights=tuple(map(float, weights.split(","))))
    except ValueError as error:
        raise ConfigError(f"--phase {text}", str(error), "allowed: SHARE:WEIGHT,WEIGHT, such as 0.8:3,1") from None


def _account(out: str, record: Record) -> None:
    counts = {name: value for name, value in record.counts.items() if isinstance(value, int)}
    lines = (f"{name.replace('_', ' '):<16} {value:>18,}" for name, value in counts.items())
    put_artifact(out, record, "\n".join(lines))
