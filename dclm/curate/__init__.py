"""Runs a pool through a pipeline: steps, segments, units of work and the exchange between them.

Called as `dclm.curate(…)`, the package is the function `dclm.api.stages.curate`.
"""

from dclm.core.callable_package import make_callable

make_callable(__name__, "dclm.api.stages", "curate")
