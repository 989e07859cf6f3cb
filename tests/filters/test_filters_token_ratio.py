"""Letters per token, with a tokenizer small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from dclm.curate.step import Context
from dclm.filters.rules.token_ratio import AlphabeticTokenRatio


def test_letters_are_counted_for_each_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    step = AlphabeticTokenRatio(tokenizer="words", min_ratio=1.5)
    assert step.assets == ("words",)
    keep = step.open(Context(files={"words": str(tmp_path / "tokenizer.json")}))
    texts = ["abc", "abc !", "abc 1 2", "", "1"]  # 3/1, 3/2, 3/3, nothing, 0/1
    assert keep(pa.record_batch({"text": pa.array(texts)})).to_pylist() == [True, True, False, False, False]
    assert keep(pa.record_batch({"text": pa.array([], pa.string())})).to_pylist() == []
