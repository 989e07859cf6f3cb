"""GPQA: stored encrypted, as its authors ask, and decrypted in memory with the password that they publish.

Source: `convert_gpqa` of DCLM's eval_openlm_ckpt.py.
"""

from __future__ import annotations

import csv
import io
import os
import random
import zipfile
import zlib

from dclm.assets import Asset, LocalFile, Url, fetch_asset
from dclm.core.errors import AssetError
from dclm.eval.data.rows import Row
from dclm.eval.task import Task

PASSWORD = "DCLM_GPQA_PASSWORD"
ARCHIVE = Asset(
    name="eval/gpqa/dataset.zip",
    sources=(
        LocalFile(path="eval/gpqa/dataset.zip"),
        Url(
            url="https://raw.githubusercontent.com/mlfoundations/dclm/"
            "15af3ce53ba1dd9464d38fd27803e56045bd085d/eval/gpqa/dataset.zip"
        ),
    ),
    sha256="461ae7329f15a3e35f8184d2dac24b990f34fdf12f366ca4062d8e6638cd08dc",
    licence="CC-BY-4.0",
    description="GPQA, encrypted by its authors",
)
SEED = 42
_COLUMNS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_MISSING = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip
"""Strings that pandas reads as missing, so that the reference's arrays of texts contain "nan"."""


def gpqa_rows(task: Task, archive: Asset = ARCHIVE) -> list[Row]:
    """The rows of a task whose data is in the encrypted archive; they are never written to disk.

    Raises: AssetError if the archive or the password is not available, or the password is wrong.
    """
    member = task.metadata.data.file.replace("gpqa/", "dataset/").replace(".jsonl", ".csv")
    where = f"data of task {task.task}"
    password = os.environ.get(PASSWORD)
    if not password:
        what = f"encrypted at its authors' request, and {PASSWORD} is not set"
        raise AssetError(where, what, "the password is in the README of github.com/idavidrein/gpqa")
    with zipfile.ZipFile(fetch_asset(archive)) as found:
        try:
            content = found.read(member, password.encode())
        except (RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise AssetError(where, f"cannot be decrypted: {error}", f"check {PASSWORD}") from None
    return convert_gpqa(content.decode())


def convert_gpqa(text: str) -> list[Row]:
    """The reference's rows for a CSV file of GPQA: one generator, consumed in row order, shuffles the four choices."""
    draw = random.Random(SEED)
    rows: list[Row] = []
    for record in csv.DictReader(io.StringIO(text, newline="")):
        order = [0, 1, 2, 3]
        draw.shuffle(order)
        choices = ["nan" if record[name] in _MISSING else record[name] for name in _COLUMNS]
        rows.append({"query": record["Question"], "choices": [choices[i] for i in order], "gold": order.index(0)})
    return rows
