"""Presets on disk: folders, stored weights, precision."""
