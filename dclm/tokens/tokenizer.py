"""Text → token ids: any Hugging Face tokenizer.json, through the fastest encoder whose ids equal Hugging Face's.

Hugging Face's `tokenizers` is the reference. `fastokens` (about 20 times as fast on one core) is used if it is
installed and agrees with the reference on `BATTERY`; while it works, one document in `CHECKED_EVERY` is encoded by
both.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from dclm.assets import resolve
from dclm.core.config import suggest
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import FileEntry
from dclm.core.stores.store import join, put
from dclm.tokens.beginning import Beginning, agreeing, choose_beginning

Encoder = Literal["fast", "hf"]
MAX_VOCABULARY = 1 << 22
"""Sixteen times the largest vocabulary in use; a model's embedding has a row for each id."""
CHECKED_EVERY = 1024
_CHECKED_MAX_CHARACTERS = 20_000  # Hugging Face takes about 10 ms for this amount
_END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")

BATTERY = (
    "", " ", "Hello, world!", "don't we'LL  say 'tis\n\n\tso   ?", "'s'S’s're'", "a" * 300, " " * 40 + "x",
    "0123 45.67e-8 ½ ② ٣", "e\u0301 \u1e9b\u0323 ﬁ Å \u0958 \u1100\u1161\u11a8", "日本語の文章。 中文 한국어",
    "ไทย العربية हिन्दी", "\U0001f469\u200d\U0001f467 \U0001f1fa\U0001f1f8 \U0001f600", "\U0001b563\U00016eea\U00018dee",
    "\x00\x01\x85\xa0\u2028\u200b\ufeff\ufffd", "<|endoftext|>a<|padding|> <|endoftext", "\r\n \n  \n   x\t\t",
    "def f(x):\n        return x  # ok\n", "https://example.org/a?b=c&d=%20",
)  # fmt: skip
"""Strings on which byte-level tokenizers are known to disagree: contractions, spaces, NFC, old and new scripts."""


class Encoded(NamedTuple):
    """The ids of several documents, concatenated."""

    ids: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]
    """Document i's ids are `ids[offsets[i] : offsets[i + 1]]`."""


@dataclass(frozen=True, kw_only=True)
class TokenizerFile:
    """A tokenizer.json, and its properties that other code needs."""

    path: str
    sha256: str
    vocab_size: int
    """One more than the highest id, including added tokens."""
    base_vocab_size: int
    """Size without added tokens, as reported by `transformers`."""
    eot: str
    """The token that ends each document."""
    eot_id: int
    bos: Beginning | None = None
    """The token that begins each document."""


def open_tokenizer(name_or_path: str, eot: str | None = None, bos: bool | None = None) -> TokenizerFile:
    """Read an asset or a tokenizer.json file.

    eot: the token that ends a document. bos: whether a token begins it; None: if the tokenizer adds one. Raises:
    ConfigError if there is no such asset or file, or no such token; DataError if it is not a tokenizer.json.
    """
    path, sha256 = resolve(name_or_path)
    hugging_face = _hugging_face(str(path))
    ends = ((token, hugging_face.token_to_id(token)) for token in ([eot] if eot else _END_OF_TEXT))
    found = next(((token, number) for token, number in ends if number is not None), None)
    if found is None:
        vocabulary = list(hugging_face.get_vocab(with_added_tokens=True))
        what = f"found no token {eot or ' or '.join(_END_OF_TEXT)} in its vocabulary of {len(vocabulary):,}"
        raise ConfigError(name_or_path, what, suggest(eot or "", vocabulary) or "choose one with --eot")
    last, highest = _highest(str(path))
    if highest >= MAX_VOCABULARY:
        what = f"found {last[:40]!r} with the id {highest:,}, allowed: below {MAX_VOCABULARY:,}"
        raise ConfigError(name_or_path, what, "an embedding has a row for each id, so give the token a smaller id")
    return TokenizerFile(
        path=str(path),
        sha256=sha256,
        vocab_size=highest + 1,
        base_vocab_size=hugging_face.get_vocab_size(with_added_tokens=False),
        eot=found[0],
        eot_id=found[1],
        bos=choose_beginning(name_or_path, hugging_face, bos),
    )


def copy_tokenizer(file: TokenizerFile, out: Path | str) -> tuple[FileEntry, ...]:
    """Copy the tokenizer into an artifact, with a tokenizer_config.json that names its EOT as `transformers` does.

    Evaluation and export read these, so that nothing needs the original file. Spaces before punctuation are cleaned up
    in decoding, as the reference does for GPT-NeoX-20B's tokenizer.
    """
    settings: dict[str, object] = {"clean_up_tokenization_spaces": True, "eos_token": file.eot}
    if file.bos is not None:
        settings |= {"add_bos_token": True, "bos_token": file.bos.token}
    contents = {
        "tokenizer.json": agreeing(Path(file.path).read_bytes(), _hugging_face(file.path), file.bos),
        "tokenizer_config.json": (json.dumps(settings, indent=1, sort_keys=True) + "\n").encode(),
    }
    entries = []
    for name, data in contents.items():
        put(join(out, name), data)
        entries.append(FileEntry(path=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)))
    return tuple(entries)


def choose_encoder(path: str, wanted: Encoder = "fast") -> Encoder:
    """`fast` if it was requested, is installed, supports this tokenizer and agrees on the battery; otherwise `hf`."""
    if wanted == "hf" or importlib.util.find_spec("fastokens") is None:
        return "hf"
    try:
        fast = encode(path, "fast", BATTERY)
    except ValueError:  # fastokens does not support this kind of model or pre-tokenizer
        return "hf"
    slow = encode(path, "hf", BATTERY)
    equal = np.array_equal(fast.ids, slow.ids) and np.array_equal(fast.offsets, slow.offsets)
    return "fast" if equal else "hf"


def encode(path: str, encoder: Encoder, texts: Sequence[str]) -> Encoded:
    """Ids of `texts` without special tokens around them; special tokens within a text are recognized."""
    if encoder == "fast":
        ids, offsets = _fast(path).encode_batch_flat(list(texts))
        return Encoded(np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64).astype(np.int64))
    encodings = _hugging_face(path).encode_batch_fast(list(texts), add_special_tokens=False)
    found = [np.array(encoding.ids, np.uint32) for encoding in encodings]
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Encoded(np.concatenate([np.empty(0, np.uint32), *found]), offsets)


class Checked(NamedTuple):
    """A document whose ids are to be compared with Hugging Face's."""

    text: str
    ids: npt.NDArray[np.uint32]


def checked(encoded: Encoded, texts: Sequence[str], before: int) -> Iterator[Checked]:
    """One in `CHECKED_EVERY` of the documents, unless it is long. before: number of documents before these."""
    for index in range(-before % CHECKED_EVERY, len(texts), CHECKED_EVERY):
        if len(texts[index]) <= _CHECKED_MAX_CHARACTERS:
            yield Checked(texts[index], encoded.ids[encoded.offsets[index] : encoded.offsets[index + 1]].copy())


def verify(path: str, documents: Sequence[Checked]) -> None:
    """Raise DataError unless Hugging Face gives the same ids for all of these documents.

    Several at once: alone, a document takes more than twice as long, because the fast encoder has displaced Hugging
    Face's tables from the processor's caches.
    """
    found = encode(path, "hf", [document.text for document in documents])
    for document, (start, end) in zip(documents, itertools.pairwise(found.offsets.tolist()), strict=True):
        if not np.array_equal(document.ids, found.ids[start:end]):
            raise DataError(
                f"document that starts {document.text[:40]!r}",
                "the fast encoder's ids are not Hugging Face's",
                "run again with --encoder hf, and report the document to fastokens",
            )


def decode(path: str, ids: Sequence[int]) -> str:
    """The text of `ids`, including special tokens."""
    text = _hugging_face(path).decode(list(ids), skip_special_tokens=False)
    assert isinstance(text, str)
    return text


@functools.cache
def _highest(path: str) -> tuple[str, int]:
    """The token with the highest id, and this id. Found once per process: it takes as long as encoding 4 MB of text."""
    vocabulary: dict[str, int] = _hugging_face(path).get_vocab(with_added_tokens=True)
    return max(vocabulary.items(), key=lambda item: item[1])


@functools.cache
def _content(path: str) -> str:
    """The content of a tokenizer.json, which both encoders' caches hold anyway."""
    return Path(path).read_text(encoding="utf-8")


@functools.cache
def _hugging_face(path: str) -> Tokenizer:
    try:
        return _hugging_face_of(_content(path))
    except Exception as error:  # tokenizers raises a bare Exception for every defect of the file
        raise DataError(path, f"not a tokenizer.json: {error}", "pass an asset's name or a tokenizer.json") from error


@functools.cache
def _hugging_face_of(content: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@functools.cache
def _fast(path: str) -> Any:
    return _fast_of(_content(path))


@functools.cache
def _fast_of(content: str) -> Any:
    """The encoder of this tokenizer.json. A tokenizer and its copy in an artifact share one, with what it remembers."""
    # Its threads do not follow RAYON_NUM_THREADS. The engine's workers are the parallelism, and two threads with a
    # cache of words each need a tenth more CPU seconds than one.
    os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
    return importlib.import_module("fastokens").Tokenizer.from_json_str(content)
