"""The steps of a pipeline as classes: `PageLength(min=50)` is `- page_length: {min: 50}` of a pipeline file.

`help(dclm.steps.PageLength)` shows a step's fields; docs/steps.md lists them all. `by_name` maps the names that
pipeline files use to the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dclm.curate.catalog import SHIPPED
from dclm.curate.catalog import STEPS as by_name
from dclm.curate.global_step import Global
from dclm.curate.step import Filter, Map, Ordered, Step

if TYPE_CHECKING:
    from dclm.curate.catalog import *  # noqa: F403

globals().update({step.__name__: step for step in SHIPPED})
__all__ = ["Filter", "Global", "Map", "Ordered", "Step", "by_name", *sorted(s.__name__ for s in SHIPPED)]
