"""What a training run writes: checkpoints, metrics, chart and record."""
