"""Every step that ships, by its name in a pipeline file. One's own come by `module:Class` instead."""

from __future__ import annotations

from dclm.step import Step

SHIPPED: tuple[type[Step], ...] = ()

STEPS = {step.name: step for step in SHIPPED}
assert len(STEPS) == len(SHIPPED), "two steps share a name"
