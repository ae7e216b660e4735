"""Functions over tensors for every backend; no layer, no model."""
