"""Cards: README.md with the YAML front matter that the Hub reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import yaml


def write_card(front: Mapping[str, object], title: str, sections: Iterable[str]) -> str:
    """The text of README.md."""
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n# {title}\n\n" + "\n\n".join(section.strip() for section in sections) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. Untrusted text cannot escape from its cell."""
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def provenance(fingerprint: str, inputs: Mapping[str, str], made: Mapping[str, object]) -> str:
    """The section on the inputs of an artifact."""
    rows: list[tuple[str, object]] = [("fingerprint", f"`{fingerprint}`")]
    rows += [(f"made from {role}", f"`{hash_}`") for role, hash_ in sorted(inputs.items())]
    rows += [(key, made[key]) for key in ("dclm", "git_commit", "finished") if made.get(key)]
    return "## Provenance\n\nThe same work has the same fingerprint everywhere.\n\n" + table(("", ""), rows)


def size_category(rows: int) -> str:
    """The Hub's size category for a number of rows."""
    for limit, word in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M")):
        if rows < limit:
            return word
    for limit, word in ((1e8, "10M<n<100M"), (1e9, "100M<n<1B"), (1e10, "1B<n<10B"), (1e11, "10B<n<100B")):
        if rows < limit:
            return word
    return "100B<n<1T"
