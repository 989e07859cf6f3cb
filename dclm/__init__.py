"""dclm: pretraining-data curation, training and evaluation as one reproducible chain."""

__version__ = "0.1.0"
