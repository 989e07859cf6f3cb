"""Our tasks under the stock `lm_eval` command: `lm_eval --include_path eval_suite --tasks core --model …`.

The templates in eval_suite/templates name `SuiteTask` as the class of every task. Prompts are the same texts as in
`dclm evaluate`; only tokenization can differ: lm-eval tokenizes context and answer jointly, the reference separately.
Multiple choice is judged by mean log-probability per token, and generation is as long as the longest answer, so both
need the tokenizer: lm-eval provides it (`pretrained=` or `tokenizer=` in --model_args), or pass `--metadata
'{"tokenizer": "DIRECTORY"}'`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task as LmEvalTask
from lm_eval.config.task import TaskConfig
from lm_eval.filters import build_filter_ensemble

from dclm.core.errors import ConfigError
from dclm.eval.data.load import load_parts
from dclm.eval.kinds.generation import longest_answer, right_answers
from dclm.eval.kinds.registry import kind_of
from dclm.eval.prompts import prompt_texts
from dclm.eval.task import load_task

Judged = tuple[str, bool]
"""(category, right)"""


class SuiteTask(LmEvalTask):  # type: ignore[misc]
    """One file of eval_suite/, with its examples already drawn."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        metadata = dict(config["metadata"])
        self.task = load_task(str(config["task"]), Path(metadata["config_source"]).parent)
        self.VERSION = self.task.metadata.version
        self.kind = kind_of(self.task)
        self.OUTPUT_TYPE = self.kind.output_type
        self._config = TaskConfig(
            task=self.task.task, output_type=self.OUTPUT_TYPE, num_fewshot=self.task.num_fewshot, metadata=metadata
        )
        self._filters = [build_filter_ensemble("none", [["take_first", None]])]
        self._tokenizer_name = metadata.get("tokenizer") or metadata.get("pretrained")
        self._docs = self._load()
        self._instances: list[Instance] | None = None

    def _load(self) -> list[dict[str, Any]]:
        parts = load_parts(self.task)
        rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
        docs: list[dict[str, Any]] = []
        for text in prompt_texts(self.task, parts, prefix_space=True):
            contexts = [text.examples + context for context in text.contexts]
            doc = {"row": text.row, "category": text.category, "contexts": contexts, "gold": text.gold}
            docs.append({**doc, "answers": list(text.answers), "right": []})
            if self.kind.generates:
                docs[-1]["right"] = right_answers(rows[text.row])
        if self.kind.generates:
            self._max_tokens = longest_answer(self.task, parts, self._count)
        return docs

    def _count(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text. Raises: ConfigError if the tokenizer is unknown."""
        if self._tokenizer_name is None:
            what = "scoring needs the tokenizer"
            raise ConfigError(f"task {self.task.task}", what, 'pass --metadata \'{"tokenizer": "DIRECTORY"}\'')
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._tokenizer_name, trust_remote_code=False)
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def has_training_docs(self) -> bool:
        return False

    def has_validation_docs(self) -> bool:
        return False

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        return self._docs

    def doc_to_text(self, doc: Mapping[str, Any]) -> str:
        return str(doc["contexts"][0])

    def doc_to_target(self, doc: Mapping[str, Any]) -> str:
        wanted = doc["answers"] or doc["right"]
        return str(wanted[doc["gold"]] if len(wanted) > 1 else wanted[0])

    def doc_to_prefix(self, doc: Mapping[str, Any]) -> None:
        return None

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int, **_: object) -> str:
        """The prompt; it includes the examples, drawn as in the reference."""
        if num_fewshot != self.task.num_fewshot:
            what = f"found num_fewshot {num_fewshot}, allowed: {self.task.num_fewshot}"
            raise ConfigError(f"task {self.task.task}", what, "the suite determines it")
        return self.doc_to_text(doc)

    def construct_requests(self, doc: Mapping[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        """One request per choice, or a single one."""
        metadata = kwargs["metadata"]
        if self.OUTPUT_TYPE == "generate_until":
            until = list(self.task.metadata.stop)
            settings = {"until": until, "max_gen_toks": self._max_tokens, "do_sample": False, "temperature": 0.0}
            arguments: list[tuple[Any, ...]] = [(ctx, settings)]
        else:
            width = max(len(doc["contexts"]), len(doc["answers"]))
            contexts, answers = (list(doc[n]) * (width // len(doc[n])) for n in ("contexts", "answers"))
            arguments = list(zip(contexts, answers, strict=True))
        return [
            Instance(request_type=self.OUTPUT_TYPE, doc=doc, arguments=a, idx=i, metadata=metadata)
            for i, a in enumerate(arguments)
        ]

    def process_results(self, doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Judged]:
        """Right or wrong by the reference's rule for the task's kind."""
        return {"acc": (doc["category"], self.kind.judge(self.task, doc, results, self._count))}

    def aggregation(self) -> dict[str, Any]:
        return {"acc": mean_of_categories}

    def higher_is_better(self) -> dict[str, bool]:
        return {"acc": True}


def mean_of_categories(judged: Sequence[Judged]) -> float:
    """The unweighted mean of the categories' accuracies; the plain accuracy if there is one category."""
    by_category: dict[str, list[bool]] = {}
    for category, right in judged:
        by_category.setdefault(category, []).append(right)
    means = [sum(rights) / len(rights) for rights in by_category.values()]
    return sum(means) / len(means)
