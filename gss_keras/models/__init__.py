"""The models: posterior, prior, segmenters, with their losses and metrics."""
