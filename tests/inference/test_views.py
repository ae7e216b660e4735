"""Views of a photo: as the backend resizes, and turned back as they came."""

import numpy as np
import pytest
from keras import ops

from gss_keras import views as views_module
from gss_keras.inference.views import Views
from gss_keras.ops.backend import resize_bilinear


def score(photo):
    """Score three classes, each pixel for itself but by its column too."""
    photo = np.asarray(photo, "float32") / 255
    ramp = np.linspace(0, 1, photo.shape[1], dtype="float32")[:, None]
    return 4 * photo + ramp * np.array([2, 0, -2], "float32")


def photo_of(height=37, width=52, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), "uint8")


def resized(array, size):
    array = ops.convert_to_tensor(np.asarray(array, "float32")[None])
    return ops.convert_to_numpy(resize_bilinear(array, *size))[0]


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture(params=[2**24, 500], ids=["one band", "many bands"])
def _band(request, monkeypatch):
    monkeypatch.setattr(views_module, "_BAND", request.param)


@pytest.mark.usefixtures("_band")
@pytest.mark.parametrize(
    "size", [(37, 52), (37, 20), (12, 52), (90, 70), (20, 130), (1, 1)]
)
def test_bands_are_the_backends_bilinear_resizing(size):
    scores = np.random.default_rng(0).random((37, 52, 5), "float32")
    bands = list(views_module._bands(scores, *size))
    assert [rows.start for rows, _ in bands[1:]] == [
        rows.stop for rows, _ in bands[:-1]
    ]
    whole = np.concatenate([ops.convert_to_numpy(band) for _, band in bands])
    np.testing.assert_allclose(whole, resized(scores, size), atol=1e-5)


@pytest.mark.usefixtures("_band")
def test_one_view_is_the_best_class_of_the_logits():
    photo = photo_of()
    np.testing.assert_array_equal(
        Views().predict_mask(score, photo), score(photo).argmax(-1)
    )


@pytest.mark.usefixtures("_band")
def test_views_are_averaged_as_probabilities_in_the_photos_size():
    photo = photo_of()
    views = Views(scales=(0.5, 1.0, 1.75), flip=True)
    total = 0
    for size in [(19, 26), (37, 52), (65, 91)]:
        view = resized(photo, size).round()
        for step in (1, -1):
            logits = score(view[:, ::step])[:, ::step]
            total = total + softmax(resized(logits, (37, 52)))
    found = []

    def remember(probabilities):
        found.append(ops.convert_to_numpy(probabilities))
        return probabilities

    mask = views.predict_mask(score, photo, remember)
    found = np.concatenate(found)
    np.testing.assert_allclose(found, total / 6, atol=1e-5)
    np.testing.assert_array_equal(mask, found.argmax(-1))
    np.testing.assert_array_equal(views.predict_mask(score, photo), mask)


@pytest.mark.usefixtures("_band")
def test_probabilities_are_mapped_to_other_classes():
    photo = photo_of()
    # The first two classes together, and the third under two names.
    matrix = np.array([[1, 0, 0], [1, 0, 0], [0, 0.4, 0.6]], "float32")
    mask = Views().predict_mask(
        score, photo, lambda shares: ops.matmul(shares, matrix)
    )
    expected = softmax(score(photo)) @ matrix
    np.testing.assert_array_equal(mask, expected.argmax(-1))
    assert set(np.unique(mask)) == {0, 2}


def test_a_mirrored_photo_gets_the_mirrored_mask():
    photo, views = photo_of(), Views(scales=(1.0, 1.5), flip=True)
    mask = views.predict_mask(score, photo)
    mirrored = views.predict_mask(score, photo[:, ::-1])
    assert np.mean(mirrored[:, ::-1] == mask) > 0.999
    plain = Views().predict_mask(score, photo)
    other = Views().predict_mask(score, photo[:, ::-1])
    assert np.mean(other[:, ::-1] == plain) < 0.99


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        # ADE20K's and MSeg's photos: the shorter side decides, mostly.
        ((512, 683), (2048, 512), (512, 683)),
        ((375, 500), (2048, 512), (512, 683)),
        ((300, 2400), (2048, 512), (256, 2048)),
        ((500, 375), (512, 2048), (683, 512)),
        ((1024, 2048), None, (1024, 2048)),
    ],
)
def test_photos_are_scaled_to_fit(size, fit, expected):
    assert Views(fit=fit).sizes(*size) == [expected]


def test_bytes_stay_bytes_and_floats_floats():
    seen = []

    def remember(view):
        seen.append(view.dtype)
        return score(view)

    views = Views(scales=(0.5, 2.0))
    views.predict_mask(remember, photo_of())
    views.predict_mask(remember, photo_of().astype("float32"))
    assert seen == [np.uint8] * 2 + [np.float32] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fit": (2048,)}, "`fit` must be two positive ints"),
        ({"fit": (2048, 0)}, "`fit` must be two positive ints"),
        ({"scales": ()}, "`scales` must be positive numbers"),
        ({"scales": (1.0, -0.5)}, "`scales` must be positive numbers"),
        ({"scales": (float("nan"),)}, "`scales` must be positive numbers"),
    ],
)
def test_malformed_views_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Views(**arguments)
