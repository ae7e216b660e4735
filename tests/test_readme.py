"""The snippets of the README and of docs/ run as they are written."""

import pathlib
import re

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import synthetic, training

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class OneBatch(keras.utils.PyDataset):
    """The same photos and masks, once an epoch."""

    def __init__(self, photos, masks):
        super().__init__()
        self.pair = photos, masks

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.pair


def snippet(heading, page="README.md"):
    """Return the first Python block under a heading of a page."""
    section = (ROOT / page).read_text().split(f"\n## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def anchors(page):
    """Return the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.any_backend
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    links += re.findall(r'src="([^"]+)"', text)
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_segment_photos():
    photos = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), "uint8")
    names = {"photos": photos}
    exec(snippet("Segment photos"), names)
    assert names["masks"].shape == (2, 32, 48)
    assert names["masks"].dtype == "int32"
    assert names["samples"].shape == (4, 2, 32, 48)


def test_from_photo_to_mask():
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    names = {"segmenter": segmenter, "photos": tiny_data()[0]}
    exec(snippet("From photo to mask", "docs/api.md"), names)
    outputs = names["outputs"]
    masks = keras.ops.convert_to_numpy(outputs["masks"])
    np.testing.assert_array_equal(masks, segmenter.predict(names["photos"]))
    assert outputs["confidence"].shape == masks.shape
    assert outputs["tokens"].shape == (4, 8, 12)
    assert outputs["maskige"].shape == (*masks.shape, 3)


@pytest.mark.any_backend
def test_train_the_inverse_and_search_the_palette(tmp_path, monkeypatch):
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
    text = snippet(
        "Train the inverse, search the palette", "docs/inverse_and_colors.md"
    )
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
    assert segmenter.classes == ("road", "car", "person")
