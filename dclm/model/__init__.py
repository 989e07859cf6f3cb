"""The language model: its computation, its files, and the function with which evaluation loads any model."""

import os

# Waiting threads of torch sleep instead of spinning: no slower on an idle machine, six times faster on one whose cores
# are shared. OpenMP reads the setting once, so it must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
