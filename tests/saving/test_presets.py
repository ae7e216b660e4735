import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from tiny import tiny_data, tiny_posterior, tiny_prior, tiny_tokenizer

import gss_keras
from gss_keras.training import adamw


@pytest.fixture
def preset(tmp_path):
    tiny_tokenizer().save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def test_a_preset_is_three_files(preset):
    names = sorted(path.name for path in preset.iterdir())
    assert names == ["README.md", "config.json", "model.weights.h5"]
    assert json.loads((preset / "config.json").read_text())["format"] == 2
    assert "DiscreteVAE" in (preset / "README.md").read_text()


def test_half_precision_halves_kernels_and_keeps_vectors(tmp_path):
    tokenizer = tiny_tokenizer()
    rng = np.random.default_rng(0)
    tokenizer.set_weights(
        [1e-6 * rng.random(w.shape) for w in tokenizer.get_weights()]
    )
    tokenizer.save_to_preset(tmp_path / "half", dtype="float16")
    loaded = gss_keras.DiscreteVAE.from_preset(tmp_path / "half")
    pairs = zip(tokenizer.get_weights(), loaded.get_weights(), strict=True)
    for ours, theirs in pairs:
        assert theirs.dtype == "float32"
        stored = ours.astype("float16") if ours.ndim > 1 else ours
        np.testing.assert_array_equal(theirs, stored)
    kinds = {1: set()}
    with h5py.File(tmp_path / "half" / "model.weights.h5") as file:
        file.visititems(
            lambda _, item: kinds.setdefault(
                getattr(item, "ndim", 0), set()
            ).add(str(getattr(item, "dtype", "")))
        )
    assert (kinds[1], kinds[4]) == ({"float32"}, {"float16"})


@pytest.mark.any_backend
def test_a_trained_model_loads_without_what_trained_it(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.compile(adamw(1e-3, steps=10, warmup_steps=2))
    tokenizer.save_to_preset(tmp_path / "trained")
    program = (
        "import gss_keras, sys; "
        "gss_keras.DiscreteVAE.from_preset(sys.argv[1]); print('loaded')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "trained"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "loaded" in done.stdout, done.stderr


def test_saving_again_replaces_the_preset(preset):
    other = tiny_tokenizer(codebook_size=9)
    other.save_to_preset(preset, card="mine")
    loaded = gss_keras.DiscreteVAE.from_preset(preset)
    assert loaded.codebook_size == 9
    assert (preset / "README.md").read_text() == "mine"
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="`folder` must be new, empty or"):
        tiny_tokenizer().save_to_preset(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_save_leaves_nothing_behind(tmp_path, monkeypatch):
    tokenizer = tiny_tokenizer()

    def fail(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tokenizer, "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        tokenizer.save_to_preset(tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_files_are_named(preset):
    load = gss_keras.DiscreteVAE.from_preset
    with pytest.raises(ValueError, match="`preset` must be a folder"):
        load("no_such_preset")
    with pytest.raises(ValueError, match="must hold a LatentPrior"):
        gss_keras.LatentPrior.from_preset(preset)

    weights = preset / "model.weights.h5"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="model.weights.h5 must hold"):
        load(preset)
    weights.unlink()
    with pytest.raises(ValueError, match="without `model.weights.h5`"):
        load(preset)

    config = preset / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"format": 2', '"format": 3'))
    with pytest.raises(ValueError, match=r"one of the formats \(1, 2\)"):
        load(preset)
    config.write_text(text.replace("DiscreteVAE", "Discreet"))
    with pytest.raises(ValueError, match="does not describe a model"):
        load(preset)
    config.write_text(text[:40])
    with pytest.raises(ValueError, match="damaged or something else"):
        load(preset)
    config.unlink()
    with pytest.raises(ValueError, match="without `config.json`"):
        load(preset)


def test_weights_of_another_model_are_refused(preset, tmp_path):
    tiny_tokenizer(codebook_size=9).save_to_preset(tmp_path / "other")
    other = (tmp_path / "other" / "model.weights.h5").read_bytes()
    (preset / "model.weights.h5").write_bytes(other)
    with pytest.raises(ValueError, match="belongs to another model"):
        gss_keras.DiscreteVAE.from_preset(preset)


def test_unknown_dtype_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`dtype` must be None"):
        tiny_tokenizer().save_to_preset(tmp_path / "x", dtype="int4")
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_alone_gives_random_weights(preset):
    (preset / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"without `model\.weights\.h5`"):
        gss_keras.DiscreteVAE.from_preset(preset)
    loaded = gss_keras.DiscreteVAE.from_preset(preset, load_weights=False)
    assert loaded.get_config()["hidden"] == 8


def test_published_models_say_where_their_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path))
    names = gss_keras.saving.presets.published()
    assert len(names) == 11 and "dalle" in names
    for name in set(names) - {"dalle"}:
        with pytest.raises(ValueError, match="are not bundled") as caught:
            gss_keras.GenerativeSegmenter.from_preset(name)
        assert f"weights_conversion.gss --checkpoint FILE --name {name}" in str(
            caught.value
        )
        assert "https://drive.google.com/drive/folders/" in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)


def test_bundled_presets_load_by_name():
    names = ["camvid", "efficientnet_lite0", "maskige"]
    assert gss_keras.saving.presets.bundled() == names
    assert gss_keras.DiscreteVAE.from_preset("maskige").stride == 4
    segmenter = gss_keras.GenerativeSegmenter.from_preset("camvid")
    photo = np.random.default_rng(0).integers(0, 256, (37, 50, 3), "uint8")
    mask = segmenter.predict(photo)
    assert mask.shape == (37, 50) and mask.max() < 11


def test_converted_presets_load_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path / "home"))
    assert gss_keras.saving.presets.home() == tmp_path / "home"
    load = gss_keras.DiscreteVAE.from_preset
    with pytest.raises(ValueError, match="dalle --download") as caught:
        load("dalle")
    assert str(tmp_path / "home" / "dalle") in str(caught.value)
    tiny_tokenizer(codebook_size=9).save_to_preset(tmp_path / "home/dalle")
    assert load("dalle").codebook_size == 9
    with pytest.raises(ValueError, match="`preset` must be a folder"):
        load("x/dalle")
    monkeypatch.delenv("GSS_KERAS_HOME")
    home = gss_keras.saving.presets.home()
    assert home.is_absolute() and home.parts[-2:] == (".cache", "gss_keras")


_PREDICT = """
import sys
import numpy as np
import gss_keras
from gss_keras.training import adamw
segmenter = gss_keras.GenerativeSegmenter.from_preset(sys.argv[1])
photos = np.load(sys.argv[2])
np.savez(
    sys.argv[3],
    masks=segmenter.predict(photos),
    features=segmenter.prior.predict(photos, verbose=0)["features"],
)
"""


# Each backend's preset is read by the next: each writes and each reads.
_NEXT = {"tensorflow": "jax", "jax": "torch", "torch": "tensorflow"}


def test_another_backend_gives_the_same_masks(tmp_path):
    backend = _NEXT[keras.backend.backend()]
    pytest.importorskip(backend)
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(tiny_posterior()))
    segmenter.save_to_preset(tmp_path / "preset")
    photos = tiny_data()[0]
    np.save(tmp_path / "photos.npy", photos)
    subprocess.run(
        [
            sys.executable,
            "-c",
            _PREDICT,
            tmp_path / "preset",
            tmp_path / "photos.npy",
            tmp_path / "answer.npz",
        ],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    answer = np.load(tmp_path / "answer.npz")
    features = segmenter.prior.predict(photos, verbose=0)["features"]
    np.testing.assert_allclose(
        answer["features"], features, atol=1e-4 * features.std(), rtol=0
    )
    # Rounding decides where the best two tokens tie: three of 384 tokens may
    # differ, each of which decides about 16 of 6144 pixels.
    agreement = np.mean(answer["masks"] == segmenter.predict(photos))
    assert agreement > 0.99
