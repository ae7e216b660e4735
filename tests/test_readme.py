"""The README's snippets run as they are written."""

import pathlib
import re

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import synthetic, training

README = pathlib.Path(__file__).parents[1] / "README.md"


class OneBatch(keras.utils.PyDataset):
    """The same photos and masks, once an epoch."""

    def __init__(self, photos, masks):
        super().__init__()
        self.pair = photos, masks

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.pair


def snippet(heading):
    """Return the first Python block under a heading of the README."""
    section = README.read_text().split(f"\n## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_segment_photos():
    photos = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), "uint8")
    names = {"photos": photos}
    exec(snippet("Segment photos"), names)  # the README's words, not a user's
    assert names["masks"].shape == (2, 32, 48)
    assert names["masks"].dtype == "int32"
    assert names["doubts"].shape == (4, 2, 32, 48)


@pytest.mark.any_backend
def test_learn_to_read_maskiges_and_the_colors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos, masks = tiny_data(num_classes=11)
    prior = tiny_prior(tiny_posterior(num_classes=11))
    names = {
        "gss_keras": gss_keras,
        "training": training,
        "tokenizer": prior.posterior.tokenizer,
        "prior": prior,
        "masks": masks,
        "batches": OneBatch(photos, masks),
    }
    text = snippet("Learn to read maskiges, and the colors")
    # The tiny tokenizer's weights are random and may tell few colors apart.
    text = text.replace("masks, 11)", "masks, 11, allow_shared_colors=True)")
    exec(text, names)
    palette = gss_keras.palettes.load("colors.json")
    np.testing.assert_allclose(palette, names["found"].palette, atol=1e-3)
    assert names["segmenter"].inverse.num_classes == 11


@pytest.mark.any_backend
def test_train_on_your_own_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for record in synthetic.streets.Streets(count=2, seed=0, size=(192, 256)):
        for folder, content in [("images", "photo"), ("masks", "mask")]:
            path = pathlib.Path(folder, f"{record['name']}.png")
            path.parent.mkdir(exist_ok=True)
            ids = record[content]
            if content == "mask":
                ids = np.minimum(ids, 2).astype("uint8")
            Image.fromarray(ids).save(path)
    text = snippet("Train on your own folders")
    assert text.count("epochs=20") == 1
    exec(text.replace("epochs=20", "epochs=1"), {})
    segmenter = gss_keras.GenerativeSegmenter.from_preset("my_segmenter")
    assert segmenter.posterior.num_classes == 3
