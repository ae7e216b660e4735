"""The extensions of docs/extending.md work as they are written."""

import pathlib
import re

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import (
    tiny_backbone,
    tiny_data,
    tiny_posterior,
    tiny_prior,
    tiny_tokenizer,
)

import gss_keras
from gss_keras import data

pytestmark = pytest.mark.any_backend

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"


def blocks(heading):
    """Return the Python blocks of a section, own files first."""
    section = PAGE.read_text().split(f"\n## {heading}")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def run(heading, **names):
    """Execute a section and return its names and number of own files."""
    names |= {"gss_keras": gss_keras, "data": data}
    for block in blocks(heading):
        exec(block, names)
    return names, sum(block.startswith("# my_") for block in blocks(heading))


def train_save_and_load(model, *batch, path):
    """Train a step, and check that a loaded copy predicts the same."""
    model.compile(keras.optimizers.AdamW(1e-3))
    model.fit(*batch, batch_size=2, epochs=1, verbose=0)
    model.save_to_preset(path)
    loaded = type(model).from_preset(path)
    expected, received = (
        keras.tree.flatten(m.predict(batch[0], verbose=0))
        for m in (model, loaded)
    )
    for one, other in zip(expected, received, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    return loaded


def test_a_backbone_takes_one_file(tmp_path):
    names, files = run("A backbone", posterior=tiny_posterior())
    assert files == 1
    prior = names["prior"]
    loaded = train_save_and_load(prior, *tiny_data(), path=tmp_path / "preset")
    assert loaded.backbone.channels == {4: 16, 8: 16, 16: 16, 32: 16}
    segmenter = gss_keras.GenerativeSegmenter(loaded)
    assert segmenter.predict(tiny_data()[0]).shape == tiny_data()[1].shape


def test_an_inverse_takes_one_file(tmp_path):
    palette = gss_keras.palettes.maximal_distance(5)
    names, files = run(
        "An inverse", palette=palette, tokenizer=tiny_tokenizer()
    )
    assert files == 1
    # Colors that differ in hue are read back whatever their brightness.
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    posterior = gss_keras.LatentPosterior(
        colors, tiny_tokenizer(), inverse=names["NearestHue"]()
    )
    maskige = 0.25 + 0.5 * (colors / 255)[None, None].astype("float32")
    for mask_scale in (1, 2):
        tall = maskige.repeat(mask_scale, axis=1).repeat(mask_scale, axis=2)
        posterior.mask_scale = mask_scale
        logits = posterior.class_logits(keras.ops.convert_to_tensor(tall), 1, 3)
        mask = keras.ops.convert_to_numpy(logits).argmax(-1)
        np.testing.assert_array_equal(mask, [[[0, 1, 2]]])
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(names["posterior"]))
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    photos = tiny_data()[0]
    np.testing.assert_array_equal(
        loaded.predict(photos), segmenter.predict(photos)
    )


def test_a_data_set_takes_two_files(tmp_path):
    for split in ("train", "val"):
        for kind, shape in (("photos", (8, 9, 3)), ("ids", (8, 9))):
            folder = tmp_path / kind / split
            folder.mkdir(parents=True)
            picture = np.full(shape, 2, "uint8")
            Image.fromarray(picture).save(folder / "one.png")
    names, files = run("A data set", folder=tmp_path)
    assert files == 2
    record = names["train"][0]
    assert record["photo"].shape == (8, 9, 3)
    assert (record["mask"] == 2).all()
    assert "yard" in data.catalog.names()
    with pytest.raises(ValueError, match="`split` of yard must be one of"):
        data.load("yard", tmp_path, "test")
    with pytest.raises(ValueError, match="not in the catalog yet"):
        data.catalog.register(data.catalog.card("yard"), data.Folders)


def test_a_head_takes_one_file(tmp_path):
    names, files = run("A discriminative head", backbone=tiny_backbone())
    assert files == 1
    train_save_and_load(
        names["segmenter"], *tiny_data(), path=tmp_path / "preset"
    )
