"""Test-time augmentation: resizing, flips and averaging."""

import numpy as np
import pytest
from choice_checks import check_best
from keras import ops

from gss_keras import views as views_module
from gss_keras.inference.views import Views
from gss_keras.ops.backend import resize_bilinear


def score(photo):
    """Return logits of three classes, which depend on color and column."""
    photo = np.asarray(photo, "float32") / 255
    ramp = np.linspace(0, 1, photo.shape[1], dtype="float32")[:, None]
    return 4 * photo + ramp * np.array([2, 0, -2], "float32")


def random_photo(height=37, width=52, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), "uint8")


def resized(array, size):
    array = ops.convert_to_tensor(np.asarray(array, "float32")[None])
    return ops.convert_to_numpy(resize_bilinear(array, *size))[0]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.fixture(params=[2**24, 500], ids=["one strip", "many strips"])
def _strips(request, monkeypatch):
    monkeypatch.setattr(views_module, "_MAX_ELEMENTS", request.param)


@pytest.mark.usefixtures("_strips")
@pytest.mark.parametrize(
    "size", [(37, 52), (37, 20), (12, 52), (90, 70), (20, 130), (1, 1)]
)
def test_resizing_in_strips_equals_bilinear_resizing(size):
    scores = np.random.default_rng(0).random((37, 52, 5), "float32")
    strips = list(views_module._resized_strips(scores, *size))
    assert [rows.start for rows, _ in strips[1:]] == [
        rows.stop for rows, _ in strips[:-1]
    ]
    whole = np.concatenate([ops.convert_to_numpy(strip) for _, strip in strips])
    np.testing.assert_allclose(whole, resized(scores, size), atol=1e-5)


@pytest.mark.usefixtures("_strips")
def test_a_single_view_is_the_argmax_of_the_logits():
    photo = random_photo()
    np.testing.assert_array_equal(
        Views().predict_mask(score, photo), score(photo).argmax(-1)
    )


@pytest.mark.usefixtures("_strips")
def test_probabilities_are_averaged_at_the_photos_size():
    photo = random_photo()
    views = Views(scales=(0.5, 1.0, 1.75), flip=True)
    total = 0
    for size in [(19, 26), (37, 52), (65, 91)]:
        view = resized(photo, size).round()
        for step in (1, -1):
            logits = score(view[:, ::step])[:, ::step]
            total = total + softmax(resized(logits, (37, 52)))
    found = []

    def record(probabilities):
        found.append(ops.convert_to_numpy(probabilities))
        return probabilities

    mask = views.predict_mask(score, photo, record)
    found = np.concatenate(found)
    np.testing.assert_allclose(found, total / 6, atol=1e-5)
    np.testing.assert_array_equal(mask, found.argmax(-1))
    np.testing.assert_array_equal(views.predict_mask(score, photo), mask)


@pytest.mark.usefixtures("_strips")
def test_mapping_probabilities_to_other_classes():
    photo = random_photo()
    # Merges the first two classes, and splits the third.
    matrix = np.array([[1, 0, 0], [1, 0, 0], [0, 0.4, 0.6]], "float32")
    mask = Views().predict_mask(score, photo, lambda x: ops.matmul(x, matrix))
    expected = softmax(score(photo)) @ matrix
    np.testing.assert_array_equal(mask, expected.argmax(-1))
    assert set(np.unique(mask)) == {0, 2}


def test_a_flipped_photo_has_the_flipped_mask():
    photo, views = random_photo(), Views(scales=(1.0, 1.5), flip=True)
    recorded = []

    def record(probabilities):
        recorded.append(ops.convert_to_numpy(probabilities))
        return probabilities

    mask = views.predict_mask(score, photo, record)
    flipped = views.predict_mask(score, photo[:, ::-1])
    check_best(flipped[:, ::-1], np.concatenate(recorded))
    check_best(mask, np.concatenate(recorded))
    mask = Views().predict_mask(score, photo)
    flipped = Views().predict_mask(score, photo[:, ::-1])
    # Without flipped copies, the ramp of the scores shows.
    assert np.mean(flipped[:, ::-1] == mask) < 0.99


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        # On ADE20K and MSeg, the shortest side is the limit of most photos.
        ((512, 683), (2048, 512), (512, 683)),
        ((375, 500), (2048, 512), (512, 683)),
        ((300, 2400), (2048, 512), (256, 2048)),
        ((500, 375), (512, 2048), (683, 512)),
        ((1024, 2048), None, (1024, 2048)),
    ],
)
def test_photos_are_scaled_to_fit(size, fit, expected):
    assert Views(fit=fit).sizes(*size) == [expected]


def test_views_have_the_photos_dtype():
    dtypes = []

    def record(view):
        dtypes.append(view.dtype)
        return score(view)

    views = Views(scales=(0.5, 2.0))
    views.predict_mask(record, random_photo())
    views.predict_mask(record, random_photo().astype("float32"))
    assert dtypes == [np.uint8] * 2 + [np.float32] * 2


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
def test_malformed_views_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Views(**arguments)
