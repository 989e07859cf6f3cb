"""Parts shared by all pages of a board: head, style sheet, script, and the policy that allows only these two."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib import resources

from dclm.charts import scroll
from dclm.charts.palette import variables


def _asset(name: str) -> str:
    return resources.files("dclm.board").joinpath(f"site/{name}").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


STYLE = variables() + scroll.STYLE + _asset("board.css")
SCRIPT = _asset("board.js")
POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of the pages."""


def frame(title: str, body: str) -> str:
    """A whole page around `body`, which is HTML; `title` is text."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}</body>
</html>
"""
