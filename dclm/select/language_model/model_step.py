"""Common base of the steps that run a model in each worker."""

from __future__ import annotations

import dataclasses

from dclm.curate.step import Map
from dclm.select.language_model.reference import model_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelStep(Map):
    """A step that loads `model` once per worker, on a GPU if there is one. Without `assets` it loads none."""

    model: str
    """hf:DIRECTORY, gguf:FILE (also an asset's name), or a checkpoint or training run of ours."""

    @property
    def assets(self) -> tuple[str, ...]:
        """The model."""
        return (model_file(self.model),)

    @property
    def runs_model(self) -> bool:
        """See `Step`."""
        return bool(self.assets)

    def wants_gpus(self, gpus: int | None) -> bool:
        """See `Step`."""
        if gpus is None:
            import torch

            gpus = torch.cuda.device_count()
        return self.runs_model and gpus > 0

    @property
    def memory(self) -> str:
        """See `Step`."""
        return f"each worker holds the weights of {self.model}, 4 bytes per parameter" if self.runs_model else ""

    @property
    def cost(self) -> str:
        """See `Step`."""
        if not self.runs_model:
            return ""
        return "2 FLOPs per parameter and token: one CPU core reads about 300 tokens/s with 135 million parameters"
