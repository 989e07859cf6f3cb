"""Settings of hypothesis for this folder."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("compiling", deadline=None)  # the first call of a kernel compiles it
settings.load_profile("compiling")
