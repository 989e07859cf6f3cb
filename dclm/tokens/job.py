"""One call of `tokenize`: configuration, inputs, output paths, and the execution of its units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import Unit, Workspace
from dclm.core.stores.store import join
from dclm.tokens.config import TokenizeConfig
from dclm.tokens.documents import DocumentSource
from dclm.tokens.tokenizer import Encoder, TokenizerFile

U = TypeVar("U", bound=Unit)


@dataclass(frozen=True, kw_only=True)
class TokenizeJob:
    """One call of `tokenize`: configuration, inputs and output paths."""

    config: TokenizeConfig
    tokenizer: TokenizerFile
    encoder: Encoder
    sources: tuple[DocumentSource, ...]
    identity: str
    space: Workspace

    @property
    def work(self) -> str:
        """Address of this job's work files. Named after its identity, so that caches are never out of date."""
        return join(self.space.work, self.identity[:16])

    @property
    def row_len(self) -> int:
        return self.config.seq_len + 1

    @property
    def pad_id(self) -> int:
        """open_lm: (-1) mod (vocabulary without added tokens + 3), which is 50,256 for GPT-NeoX; otherwise EOT."""
        return self.tokenizer.base_vocab_size + 2 if self.config.packing == "dclm" else self.tokenizer.eot_id

    @property
    def vocab_size(self) -> int:
        """All ids are below this. open_lm's PAD may be beyond the tokenizer's own ids."""
        return max(self.tokenizer.vocab_size, self.pad_id + 1)

    @property
    def dtype(self) -> Literal["uint16", "uint32"]:
        return "uint16" if self.vocab_size <= 1 << 16 else "uint32"

    def run(
        self, label: str, function: Callable[[U], Outcome], units: list[U], items: Callable[[Outcome], int]
    ) -> list[Outcome]:
        """All outcomes in the order of the units."""
        if not units:
            return []
        done = self.space.run_units(function, units, label, total=len(units), items=items)
        outcomes = {each.index: each.outcome for each in done}
        return [outcomes[index] for index in range(len(units))]
