"""Documents in prompts: chat templates, truncation by tokens, and a model's continuation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from dclm.core.errors import ConfigError, DataError
from dclm.model.formats.foreign import LOADING_FAULTS, first_line
from dclm.model.load import HUGGING_FACE, load_model
from dclm.select.language_model.scorer import batches, kind_of, one_thread

Floats = npt.NDArray[np.float64]
PLACE = "{text}"
"""Placeholder of the document in a prompt."""
_MARK = "\ue000"
_BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}


class Prompter:
    """A model that reads documents in a prompt. Arithmetic is float32, in one thread on a CPU."""

    def __init__(self, path: str, prompt: str, *, chat: bool | None, max_tokens: int) -> None:
        """Loads the model that `load_model` knows as `path`, on the GPU if there is one.

        chat: whether to put the prompt into the model's chat template; None: if it has one.
        max_tokens: the document is truncated to this many tokens, or fewer if the model's window is too short.
        Raises: DataError if the model cannot be loaded; ConfigError if it has no tokenizer or no chat template.
        """
        loaded = load_model(path, "cuda" if torch.cuda.is_available() else "cpu")
        if loaded.tokenizer_path is None:
            raise ConfigError(path, "no tokenizer.json next to the model", "copy it there")
        self._model, self._where = loaded.model, path
        self._tokenizer = Tokenizer.from_file(str(loaded.tokenizer_path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens
        shown = prompt.replace(PLACE, _MARK)
        rendered = _in_chat_template(path, shown, required=chat is True) if chat is not False else None
        self._has_template = rendered is not None
        self._before, _, self._after = (shown if rendered is None else rendered).partition(_MARK)
        self._special = [t.content for t in self._tokenizer.get_added_tokens_decoder().values() if t.special]
        overhead = len(self._encode(""))
        if overhead >= loaded.model.seq_len:
            what = f"the prompt alone has {overhead} tokens, allowed: fewer than the model's {loaded.model.seq_len}"
            raise ConfigError(path, what, "shorten it")

    def answer_ids(self, answers: Sequence[str]) -> list[int]:
        """The token of each answer. Raises: ConfigError for one that is not a single token."""
        found = []
        for answer in answers:
            ids = self._tokenizer.encode(answer, add_special_tokens=False).ids
            if len(ids) != 1:
                what = f"the answer {answer!r} is {len(ids)} tokens of this model, allowed: one"
                raise ConfigError(self._where, what, "give `answers` that are single tokens")
            found += ids
        return found

    def probabilities(self, texts: Sequence[str], ids: Sequence[int]) -> Floats:
        """[N, len(ids)]: probability of each of the tokens after each text's prompt."""
        prompts = [self._prompt(text) for text in texts]
        found = np.zeros((len(texts), len(ids)))
        device = self._model.device
        kind = kind_of(device)
        with torch.inference_mode(), one_thread(device):
            for batch in batches(list(map(len, prompts)), _BATCH_TOKENS[kind], kind):
                padded = torch.zeros(len(batch), len(prompts[batch[0]]), dtype=torch.long)
                for row, place in enumerate(batch):
                    padded[row, : len(prompts[place])] = torch.tensor(prompts[place])
                hidden = self._model.forward_hidden(padded.to(device))  # padding is on the right: unseen
                last = torch.stack([hidden[row, len(prompts[place]) - 1] for row, place in enumerate(batch)])
                log_p = self._model.head(last).double().log_softmax(-1)
                found[batch] = log_p[:, list(ids)].exp().cpu().numpy()
        return found

    def complete(self, text: str, max_new_tokens: int, stop: str = "\n\n") -> str:
        """The greedy continuation of the text's prompt, without special tokens."""
        prompt = self._prompt(text, room=max_new_tokens)
        said: list[int] = []
        device = self._model.device
        ends = {self._tokenizer.token_to_id(token) for token in self._special}
        with torch.inference_mode(), one_thread(device):
            cache = self._model.new_cache(1, len(prompt) + max_new_tokens)
            new = prompt
            while len(said) < max_new_tokens:
                hidden = self._model.forward_hidden(torch.tensor([new], device=device), cache=cache)
                token = int(self._model.head(hidden[0, -1]).argmax())
                if token in ends or stop in self._tokenizer.decode([*said, token]).strip():
                    break
                said.append(token)
                new = [token]
        return self._tokenizer.decode(said).strip()

    def _prompt(self, text: str, room: int = 0) -> list[int]:
        """The tokens of the prompt with the text inserted, leaving `room` tokens of the model's window."""
        for token in self._special:  # a document cannot end its own turn
            text = text.replace(token, " ")
        spans = self._tokenizer.encode(text, add_special_tokens=False).offsets
        number = min(self._max_tokens, len(spans))
        while True:
            cut = text if number == len(spans) else text[: spans[number - 1][1] if number else 0]
            ids = self._encode(cut)
            excess = len(ids) + room - self._model.seq_len
            if excess <= 0:
                return ids
            if number == 0:
                what = f"the prompt and {room} tokens of answer do not fit into {self._model.seq_len} tokens"
                raise ConfigError(self._where, what, "shorten the prompt or the answer")
            number = max(0, number - excess)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(
            f"{self._before}{text}{self._after}", add_special_tokens=not self._has_template
        ).ids
        return ids


def _in_chat_template(path: str, prompt: str, *, required: bool) -> str | None:
    """The prompt as the user's turn of the model's chat template, up to the start of the answer; None: no template.

    Raises: ConfigError if one is required; DataError if the template fails.
    """
    if path.startswith(HUGGING_FACE):
        import transformers

        directory = Path(path[len(HUGGING_FACE) :])
        loader: Any = transformers.AutoTokenizer
        try:
            tokenizer = loader.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            if tokenizer.chat_template:
                turns = [{"role": "user", "content": prompt}]
                rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
                if str(rendered).count(_MARK) != prompt.count(_MARK):
                    raise DataError(path, "its chat template does not contain the user's turn exactly once")
                return str(rendered)
        except LOADING_FAULTS as error:
            raise DataError(path, f"its tokenizer or chat template fails: {first_line(error)}") from error
    if required:
        raise ConfigError(path, "the model has no chat template", "leave `chat` out or set it to false")
    return None
