"""Evaluate a segmenter with the protocol of a data set's benchmark."""

from gss_keras.evaluation.boundaries import BoundaryScore
from gss_keras.evaluation.protocol import (
    maps_for,
    open_sources,
    published_views,
)
from gss_keras.evaluation.report import as_json, table, write
from gss_keras.evaluation.scoring import evaluate, scores_of

__all__ = [
    "BoundaryScore",
    "as_json",
    "evaluate",
    "maps_for",
    "open_sources",
    "published_views",
    "scores_of",
    "table",
    "write",
]
