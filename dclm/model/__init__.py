"""The language model: its arithmetic, its files, and the door through which evaluation loads any model."""

import os

# Threads of torch that wait for each other sleep instead of spinning: no slower on a machine of one's own, six times
# faster on one whose cores are shared. OpenMP reads it once, so it must stand before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
