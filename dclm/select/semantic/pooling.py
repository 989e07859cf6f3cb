"""How a sentence encoder makes one vector of those of a text's tokens, as sentence-transformers states it."""

from __future__ import annotations

import json
from pathlib import Path

from dclm.core.errors import AssetError

FILE = "1_Pooling/config.json"
_PREFIX = "pooling_mode_"
_FIRST = ("cls_token", "cls")
_MEAN = ("mean_tokens", "mean")


def takes_first_token(directory: Path) -> bool:
    """Whether the vector is that of the first token, as for the BGE family, and not the mean of all; the mean if the
    directory does not say.

    Raises: AssetError if it is neither, or the file cannot be read.
    """
    path = directory / FILE
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        modes = [name.removeprefix(_PREFIX) for name, chosen in stated.items() if name.startswith(_PREFIX) and chosen]
        modes += [stated["pooling_mode"]] if "pooling_mode" in stated else []
    except FileNotFoundError:
        return False
    except (ValueError, AttributeError) as error:
        raise AssetError(str(path), f"not a description of pooling: {error}", "copy the file again") from None
    if len(modes) != 1 or modes[0] not in (*_FIRST, *_MEAN):
        what = f"the pooling is {', '.join(map(str, modes)) or 'none'}, allowed: the mean or the first token (cls)"
        raise AssetError(str(path), what, "use another encoder")
    return modes[0] in _FIRST
