"""Training at fixed scales: tokens in, checkpoints out."""

import dclm.model  # noqa: F401  sets how torch's threads wait, before torch is imported
