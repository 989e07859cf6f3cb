"""The step that labels documents by a rubric: an instruction-tuned language model gives each a score or a class."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from dclm.core.arrow import to_list
from dclm.core.config import Positive
from dclm.core.errors import DataError
from dclm.core.storage import is_local
from dclm.curate.step import Context, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.language_model.model_step import ModelStep
from dclm.select.language_model.reference import model_file, model_path
from dclm.select.llm_label.cache import AnswerCache, Request

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LlmLabel(ModelStep):
    """Adds a score (float64) or a class (string) that an instruction-tuned language model gives each document by a
    rubric.

    The document is inserted into `prompt`. With `scores`, the score is the answer's last number within the bounds; with
    `classes`, the class is the one that the answer names last. Answers without any give null. Every request and answer
    is a file in `cache`: a later run sends only new requests, and with `replay: true` it needs no model at all and
    gives the same bytes. To distill the labels, train a classifier on documents that they select (see `annotate` in
    recipes).

    A local model decodes greedily. An endpoint is queried with temperature 0, but servers may still answer differently
    next time: the cache, not the server, makes the run reproducible. Documents leave this machine only if `endpoint` is
    set.

    Source: FineWeb-Edu's rubric (arXiv 2406.17557); WebOrganizer.
    """

    name: ClassVar[str] = "llm_label"

    model: str
    """hf:DIRECTORY, gguf:FILE (also an asset's name), or a checkpoint of ours; with `endpoint`, the server's name."""
    prompt: str
    """The rubric, with `{text}` once, where the document is inserted."""
    cache: str
    """Folder of requests and answers; all workers must have access to it, so it cannot be a URL."""
    scores: tuple[float, ...] = ()
    """The lowest and the highest score."""
    classes: tuple[str, ...] = ()
    """The classes. Give these or `scores`."""
    max_tokens: Positive = 512
    """Maximum number of the document's tokens to read; with `endpoint`, four characters count as one token."""
    answer_tokens: Positive = 16
    """Maximum number of tokens of the answer."""
    chat: bool | None = None
    """Whether to use the local model's chat template; null: if it has one."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible server up to /v1, such as http://127.0.0.1:8000/v1; null: a local model."""
    key_variable: str | None = None
    """Environment variable with the server's key."""
    parallel: Positive = 8
    """Number of concurrent requests per worker."""
    replay: bool = False
    """Answer only from `cache`; a missing answer is an error."""
    column: str = "label"
    """Column to add."""
    answer_column: str | None = None
    """Column for the raw answer; null: none."""

    def __post_init__(self) -> None:
        if self.prompt.count("{text}") != 1:
            raise ValueError("`prompt` has to contain {text} once")
        if bool(self.scores) == bool(self.classes):
            raise ValueError("give `scores` or `classes`")
        if self.scores and (len(self.scores) != 2 or self.scores[0] >= self.scores[1]):
            raise ValueError("`scores` takes two numbers, the lower one first")
        if self.classes and (len(set(map(str.lower, self.classes))) < max(2, len(self.classes))):
            raise ValueError("give at least two `classes` that differ in more than case")
        if not is_local(self.cache):
            raise ValueError(f"`cache` is {self.cache}, allowed: a folder")

    @property
    def assets(self) -> tuple[str, ...]:
        """The model, if one is loaded."""
        return () if self.endpoint is not None or self.replay else super().assets

    def without_addresses(self) -> LlmLabel:
        """See `Step`; also without what changes only how requests are sent."""
        return dataclasses.replace(self, parallel=LlmLabel.parallel, key_variable=None)

    @property
    def cost(self) -> str:
        """See `Step`."""
        if self.endpoint is None or self.replay:
            return super().cost
        tokens = f"up to {4 * self.max_tokens:,} of its characters and {self.answer_tokens:,} tokens of answer"
        return f"one request to {self.endpoint} per document without an answer in {self.cache}, with {tokens}"

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: DataError if the cache contains answers of another file under the model's name."""
        cache = AnswerCache(Path(self.cache))
        ask = self._asker(context, cache)
        threads = self.parallel if self.endpoint is not None and not self.replay else 1

        def answer(text: str) -> str:
            request = self._request(text)
            known = cache.get(request)
            return cache.put(request, ask(text, request)) if known is None else known

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = to_list(batch.column("text"))
            if threads == 1:
                answers = [answer(text) for text in texts]
            else:
                with ThreadPoolExecutor(threads) as pool:
                    answers = list(pool.map(answer, texts))
            kind = pa.float64() if self.scores else pa.string()
            found = {self.column: pa.array([self._read(given) for given in answers], kind)}
            if self.answer_column is not None:
                found[self.answer_column] = pa.array(answers, pa.string())
            return with_columns(batch, found)

        return annotate

    def _asker(self, context: Context, cache: AnswerCache) -> Callable[[str, Request], str]:
        """The function that asks the model; a local one is loaded at the first request."""
        if self.replay:

            def refuse(text: str, request: Request) -> str:
                hint = "leave `replay` out to ask the model"
                raise DataError(self.cache, f"no answer for the document that begins {text[:60]!r}", hint)

            return refuse
        if self.endpoint is not None:
            from dclm.select.llm_label.endpoint import Endpoint

            server = Endpoint(self.endpoint, self.key_variable)
            return lambda text, request: server.complete(request)
        file = model_file(self.model)
        if file in context.hashes:
            cache.require_model(self.model, context.hashes[file])
        from dclm.select.language_model.prompts import Prompter

        loaded: list[Prompter] = []

        def complete(text: str, request: Request) -> str:
            if not loaded:
                path = model_path(self.model, context)
                loaded.append(Prompter(path, self.prompt, chat=self.chat, max_tokens=self.max_tokens))
            return loaded[0].complete(text, self.answer_tokens)

        return complete

    def _request(self, text: str) -> Request:
        """Everything that determines the answer; for a server, a request in OpenAI's format."""
        if self.endpoint is not None:
            content = self.prompt.replace("{text}", text[: 4 * self.max_tokens])
            return {
                "model": self.model,
                "messages": [{"role": "user", "content": content}],
                "max_tokens": self.answer_tokens,
                "temperature": 0,
            }
        settings = {"max_tokens": self.max_tokens, "answer_tokens": self.answer_tokens, "chat": self.chat}
        return {"model": self.model, "prompt": self.prompt, "text": text, **settings}

    def _read(self, answer: str) -> float | str | None:
        """The label in an answer."""
        if self.scores:
            low, high = self.scores
            numbers = [float(found) for found in _NUMBER.findall(answer)]
            return next((value for value in reversed(numbers) if low <= value <= high), None)
        places = {name: _last_place(name, answer) for name in self.classes}
        name = max(self.classes, key=lambda c: (places[c], len(c)))
        return name if places[name] >= 0 else None


def _last_place(name: str, answer: str) -> int:
    """Position of the last mention of a class as whole words, ignoring case; −1: none."""
    found = [m.end() for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", answer, re.IGNORECASE)]
    return found[-1] if found else -1
