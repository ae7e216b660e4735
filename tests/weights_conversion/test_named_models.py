"""Configs, model cards, table and sizes of the published models."""

import json
import pathlib

import numpy as np
import pytest

import gss_keras
from weights_conversion import named_models
from weights_conversion.named_models import PUBLISHED

ROOT = pathlib.Path(__file__).parents[2]
ASSETS = ROOT / "gss_keras" / "assets"
IDS = {"ids": lambda row: row.name}


def test_the_readme_has_the_table_of_published_models():
    text = (ROOT / "README.md").read_text()
    assert named_models.table() in text
    assert named_models.with_table(text) == text


def test_every_published_model_has_a_preset():
    names = sorted([*(row.name for row in PUBLISHED), "dalle"])
    assert gss_keras.saving.presets.published() == names


@pytest.mark.parametrize("row", PUBLISHED, **IDS)
def test_configs_and_cards_match_the_table(row):
    folder = ASSETS / row.name
    assert (folder / "README.md").read_text() == named_models.card(row)
    record = json.loads((folder / "config.json").read_text())
    segmenter = record["model"]["config"]
    prior = segmenter["prior"]["config"]
    posterior = prior["posterior"]["config"]
    assert (segmenter["window"] is None) == row.is_whole
    assert prior["depth"] == row.depth
    assert prior["pixel_branch"] == row.pixel_branch
    assert posterior["palette"] == row.palette
    assert posterior["alignment"] == "stretch" and posterior["mask_scale"] == 2
    inverse = posterior["inverse"]["config"]
    assert inverse.get("depth", 0) == row.inverse_depth
    assert (
        prior["backbone"]["class_name"]
        == {
            "ResNet-101": "ResNetV1c",
            "Swin-L": "SwinTransformer",
            "HRNet-W48": "HRNetV2",
        }[row.backbone]
    )


@pytest.mark.slow
@pytest.mark.parametrize("row", PUBLISHED, **IDS)
def test_sizes_match_the_official_modules(row):
    segmenter = gss_keras.GenerativeSegmenter.from_preset(
        row.name, load_weights=False
    )
    prior = segmenter.prior
    learned = prior.trainable_variables + segmenter.trainable_variables
    assert sum(int(np.prod(v.shape)) for v in learned) == row.parameters
    assert prior.posterior.tokenizer.count_params() == 97_616_006
    assert prior.posterior.num_classes == len(prior.posterior.palette)
