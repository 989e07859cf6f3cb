"""CSV files as rows of text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from dclm.core.errors import DataError
from dclm.core.storage import open_input


def read_rows(path: Path) -> list[list[str]]:
    """All nonempty rows, the header first. Raises: DataError if the file is not UTF-8 text."""
    with open_input(path) as handle:
        data = handle.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"not UTF-8 at byte {error.start}", "save the table as UTF-8") from None
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
