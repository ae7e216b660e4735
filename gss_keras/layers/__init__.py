"""Keras layers that do not depend on a model, for every backend."""
