"""Training at fixed scales: tokens in, checkpoints out.

Called as `dclm.train(…)`, the package is the function `dclm.api.training.train`.
"""

import dclm.model  # noqa: F401  sets how torch's threads wait, before torch is imported
from dclm.core.callable_package import make_callable

make_callable(__name__, "dclm.api.training", "train")
