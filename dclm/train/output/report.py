"""The description of a finished run: its counts, its chart and its record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from dclm.core.counts import CheckpointCounts, TokensCounts, counts_of
from dclm.core.record import Record, describe_files
from dclm.tokens.dataset import TokenDataset
from dclm.train.data import unigram_entropy
from dclm.train.open_lm_order import OpenLmOrder
from dclm.train.optim import Schedule
from dclm.train.output.metrics import TIMINGS, read_metrics, smoothed_updates
from dclm.train.output.plot import draw_loss
from dclm.train.output.trackers import TRACKERS
from dclm.train.scale import Scale

LOSS_PICTURE = "loss.svg"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """The inputs of training: the part of a run that determines its fingerprint."""

    scale: Scale
    seed: int
    epochs: int
    inputs: Mapping[str, str]
    """Role → fingerprint of the tokens artifact."""
    input_digests: Mapping[str, str]
    """Role → digest of its record."""
    fingerprint: str
    schedule: Schedule = "cosine"
    open_lm_order: OpenLmOrder | None = None

    @property
    def standard(self) -> bool:
        """Whether everything except the scale matches the benchmark."""
        own = (self.epochs, self.schedule, self.open_lm_order) == (1, "cosine", None)
        return self.scale.standard and own and "init" not in self.inputs


def report(
    out: Path,
    plan: TrainPlan,
    data: TokenDataset,
    validation: TokenDataset | None,
    loss: float | None,
    provenance: Mapping[str, object],
) -> Record:
    """Draw the chart and make the record of the finished run in `out`; `loss` is the validation loss."""
    scale = plan.scale
    metrics = read_metrics(out)
    final = metrics[-smoothed_updates(len(metrics)) :]
    entropy = unigram_entropy(data, scale.num_sequences)
    lines = {"entropy of single tokens": entropy} | ({} if loss is None else {"validation loss": loss})
    draw_loss(out / LOSS_PICTURE, metrics, f"{scale.name}, seed {plan.seed}", lines)
    counts = CheckpointCounts(
        params=scale.model.num_parameters,
        published_params=scale.model.published_parameters,
        steps=scale.num_steps,
        tokens=scale.trained_tokens,
        available_tokens=data.num_sequences * data.seq_len,
        flops=scale.flops_6nd,
        flops_with_attention=scale.flops,
        final_loss=sum(m.loss for m in final) / len(final),
        unigram_entropy=entropy,
        validation_loss=loss,
        validation_bits_per_byte=None if loss is None or validation is None else bits_per_byte(loss, validation),
    )
    config = {
        "scale": dataclasses.asdict(scale),
        "seed": plan.seed,
        "epochs": plan.epochs,
        "standard": plan.standard,
    }
    if plan.open_lm_order is not None:
        config["open_lm_order"] = dataclasses.asdict(plan.open_lm_order)
    if plan.schedule != "cosine":
        config["schedule"] = plan.schedule
    return Record(
        kind="checkpoint",
        name=scale.name,
        fingerprint=plan.fingerprint,
        config=config,
        inputs=plan.inputs,
        input_digests=plan.input_digests,
        counts=counts.plain(),
        files=tuple(f for f in describe_files(out) if f.path.split("/")[0] not in (TIMINGS, *TRACKERS)),
        provenance=provenance,
    )


def bits_per_byte(loss: float, data: TokenDataset) -> float | None:
    """Nats per token → bits per byte of the tokenized text; None if its record does not state its bytes.

    Tokens that begin and end documents count as tokens, but not as bytes.
    """
    counts = counts_of(data.record, TokensCounts)
    if counts.text_ids is None or counts.eot_ids is None or not counts.text_bytes:
        return None
    ids = counts.text_ids + counts.eot_ids + (counts.bos_ids or 0)
    return loss / math.log(2) * ids / counts.text_bytes
