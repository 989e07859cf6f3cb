"""`dclm model`: export to other formats and back, with the same logits and tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers import Tokenizer, models

from dclm.cli.main import main
from dclm.eval.tokenizer import Tokenizer as EvalTokenizer
from dclm.model.load import load_model
from dclm.model.weights import write_model

if TYPE_CHECKING:
    from conftest import MakeModel


@pytest.fixture
def checkpoint(make_model: MakeModel, tmp_path: Path) -> Path:
    """A checkpoint with a tokenizer whose end of text is `<eos>`, id 2."""
    folder = tmp_path / "passed"
    folder.mkdir()
    Tokenizer(models.WordLevel({"a": 0, "river": 1, "<eos>": 2}, unk_token="a")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    model, out = make_model(), tmp_path / "run" / "checkpoints" / "step-000005"
    out.mkdir(parents=True)
    write_model(out, model.state_dict(), model.config, folder / "tokenizer.json")
    return tmp_path / "run"


def logits(path: str | Path, tokens: torch.Tensor) -> torch.Tensor:
    model: Any = load_model(path).model
    with torch.no_grad():
        out: torch.Tensor = model(tokens)
    return out


def test_a_model_goes_to_transformers_and_comes_back(checkpoint: Path, tokens: torch.Tensor, tmp_path: Path) -> None:
    import transformers

    hf, back = tmp_path / "hf", tmp_path / "back"
    main(["model", "export", str(checkpoint), "--to", "hf", "--out", str(hf)])
    foreign = transformers.AutoModelForCausalLM.from_pretrained(hf).eval()
    with torch.no_grad():
        found = foreign(tokens).logits
    torch.testing.assert_close(found, logits(checkpoint, tokens), atol=1e-4, rtol=1e-4)
    assert foreign.config.eos_token_id == 2
    assert transformers.AutoTokenizer.from_pretrained(hf).eos_token_id == 2
    main(["model", "import", str(hf), "--out", str(back)])
    torch.testing.assert_close(logits(back, tokens), logits(checkpoint, tokens), atol=1e-4, rtol=1e-4)
    assert EvalTokenizer(back / "tokenizer.json").end_id == 2


def test_a_model_goes_to_open_lm_and_comes_back_as_it_was(
    checkpoint: Path, tokens: torch.Tensor, tmp_path: Path
) -> None:
    file, back = tmp_path / "epoch_1.pt", tmp_path / "back"
    seq_len, tokenizer = "24", str(tmp_path / "passed" / "tokenizer.json")
    main(["model", "export", str(checkpoint), "--to", "openlm", "--out", str(file)])
    main(["model", "import", str(file), "--out", str(back), "--seq-len", seq_len, "--tokenizer", tokenizer])
    assert torch.equal(logits(back, tokens), logits(checkpoint, tokens))
    assert load_model(back).model.seq_len == 24
    assert EvalTokenizer(back / "tokenizer.json").end_id == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "RUN", "--to", "openlm", "--out", "TMP/model.bin"], 2, "ends in .pt"),
        (["export", "RUN", "--to", "hf", "--out", "RUN"], 2, "already exists"),
        (["export", "TMP/none", "--to", "hf", "--out", "TMP/x"], 3, "no model"),
        (["export", "hf:TMP", "--to", "hf", "--out", "TMP/x"], 2, "allowed: a checkpoint"),
        (["import", "TMP/none", "--out", "TMP/x"], 3, "no readable config.json"),
        (["import", "TMP/none.pt", "--out", "TMP/x"], 3, "no such file"),
        (["import", "RUN", "--out", "TMP/x", "--tokenizer", "TMP/t.json"], 3, "no such file"),
    ],
)
def test_mistakes_have_their_exit_codes_and_leave_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    filled = [a.replace("RUN", str(checkpoint)).replace("TMP", str(tmp_path)) for a in arguments]
    with pytest.raises(SystemExit) as exit_:
        main(["model", *filled])
    assert exit_.value.code == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
