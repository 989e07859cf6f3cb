"""`dclm verify`: check a run, hash by hash, from its pool to its result."""

from __future__ import annotations

import json
import sys

import click

from dclm.cli.options import ADDRESS, put, say


@click.command()
@click.argument("addresses", nargs=-1, required=True, metavar="DIR|URL...", type=ADDRESS)
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def verify(addresses: tuple[str, ...], as_json: bool) -> None:
    """Check runs or artifacts: hash every file, and follow the chain of records.

    Pool files, documents, tokens, checkpoints, scores and result.json are each compared with the record that names
    them; counts, losses and scores with the files that they were computed from. Nothing is changed.

    Exit code 3 if anything differs or is missing, 4 if something is not finished, else 0.
    """
    from dclm.recipe.verify.run import verify as check

    reports = [check(address, (lambda line: None) if as_json else say) for address in addresses]
    if as_json:
        put(json.dumps([report.to_json() for report in reports], indent=1, ensure_ascii=False))
    else:
        for report in reports:
            for kind, where, what in report.findings:
                put(f"{kind}: {where or report.address}: {what}")
            files = sum(each.files for each in report.verified)
            problems = sum(kind != "outside" for kind, _, _ in report.findings)
            found = "everything is unchanged" if not problems else f"{problems} problems"
            size = f"{report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s"
            put(f"{report.address}: {files:,} files verified, {size}: {found}")
    codes = {report.exit_code for report in reports}
    sys.exit(next((code for code in (3, 4) if code in codes), 0))
