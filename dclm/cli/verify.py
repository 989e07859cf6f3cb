"""`dclm verify`: check a run, hash by hash, from its pool to its result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import ADDRESS, put, put_result, say

if TYPE_CHECKING:
    from dclm.recipe.verify.findings import VerifyReport


@click.command()
@click.argument("addresses", nargs=-1, required=True, metavar="DIR|URL...", type=ADDRESS)
def verify(addresses: tuple[str, ...]) -> None:
    """Check runs or artifacts: hash every file, and follow the chain of records.

    Pool files, documents, tokens, checkpoints, scores and result.json are each compared with the record that names
    them; counts, losses and scores with the files that they were computed from. Nothing is changed.

    Exit code 3 if anything differs or is missing, 4 if something is not finished, else 0.
    """
    from dclm.recipe.verify.run import verify as check

    reports = [check(address, say) for address in addresses]
    put_result([report.to_json() for report in reports], lambda: _print(reports))
    codes = {report.exit_code for report in reports}
    sys.exit(next((code for code in (3, 4) if code in codes), 0))


def _print(reports: Sequence[VerifyReport]) -> None:
    for report in reports:
        for kind, where, what in report.findings:
            put(f"{kind}: {where or report.address}: {what}")
        files = sum(each.files for each in report.verified)
        problems = sum(kind != "outside" for kind, _, _ in report.findings)
        found = "everything is unchanged" if not problems else f"{problems} problems"
        size = f"{report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s"
        put(f"{report.address}: {files:,} files verified, {size}: {found}")
