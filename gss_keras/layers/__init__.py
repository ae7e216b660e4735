"""Layers that know no model, written for every backend."""
