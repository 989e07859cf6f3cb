"""The source of a user's steps: its location, content and hash."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

MARK = "__dclm_own__"
"""Name in the globals of a user's module under which its `OwnCode` is stored."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnCode:
    """A user's module, and the modules next to it that it imports."""

    name: str
    """As named in the pipeline, without `.py`."""
    sources: Mapping[str, str]
    """Module → its source, that of `name` first. Empty for a module inside a package, which workers import."""
    files: Mapping[str, str]
    """Module → the file it was read from, for messages."""
    digest: str
    """sha256 (hex) of the sources, independent of the location of the files."""

    @property
    def alias(self) -> str:
        """Prefix of the names of its modules in `sys.modules`."""
        return f"dclm_own_{self.digest[:16]}"


def find_code(name: str, directory: Path) -> OwnCode | None:
    """The code that a pipeline in `directory` refers to as `name`.

    `rules` is the file `rules.py` next to the pipeline, or else a module on Python's path; `rules.py` and
    `filters/rules.py` are files, relative to the pipeline. Returns: None if there is no such file or module.
    """
    if name.endswith(".py") or "/" in name:
        path = directory / (name if name.endswith(".py") else f"{name}.py")
        return _from_file(path) if path.is_file() else None
    beside = directory / f"{name}.py"
    if beside.is_file():
        return _from_file(beside)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    return _from_file(path) if "." not in name and path.name != "__init__.py" else _from_package(name, path)


def _from_file(path: Path) -> OwnCode:
    files = {path.stem: path}
    sources: dict[str, str] = {}
    while len(sources) < len(files):
        module = next(m for m in files if m not in sources)
        sources[module] = files[module].read_text(encoding="utf-8")
        for other in _imported(sources[module]):
            if (beside := path.parent / f"{other}.py").is_file():
                files.setdefault(other, beside)
    return OwnCode(
        name=path.stem,
        sources=sources,
        files={module: str(file) for module, file in files.items()},
        digest=_digest(sources),
    )


def _from_package(name: str, path: Path) -> OwnCode:
    """For a module inside a package, all Python files of the package count, because which of them it uses is
    unknown."""
    root = path.parents[len(name.split(".")) - (1 if path.name == "__init__.py" else 2)]
    sources = {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8") for p in sorted(root.rglob("*.py"))}
    return OwnCode(name=name, sources={}, files={name: str(path)}, digest=_digest(sources))


def _digest(sources: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for module, source in sorted(sources.items()):
        for part in (module, source):
            digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()


def _imported(source: str) -> Iterator[str]:
    """Names of the top-level modules that a source imports; empty if it does not parse, which loading reports."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
