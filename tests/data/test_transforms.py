import numpy as np
import pytest

from gss_keras.data import Augmentation, ColorJitter, Padding
from gss_keras.data.transforms import fit_scale

PALETTE = np.array(
    [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]],
    "uint8",
)


def random_blocks(seed, shape=(60, 90)):
    """Return a random mask of blocks, and the mask painted with `PALETTE`."""
    generator = np.random.default_rng(seed)
    mask = generator.integers(0, 5, (5, 6))
    mask = np.kron(mask, np.ones((12, 15), int))[: shape[0], : shape[1]]
    return PALETTE[mask], mask.astype("int32")


def recover(photo):
    """Return the nearest palette color of each pixel and its distance."""
    distances = np.abs(photo[:, :, None].astype(int) - PALETTE).sum(-1)
    return distances.argmin(-1), distances.min(-1)


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(scale_range=(1, 1), flip=False),
        dict(scale_range=(1, 1), flip=True),
        dict(scale_range=(2, 2)),
        dict(scale_range=(0.5, 0.5)),
        dict(scale_range=(0.7, 1.9)),
        dict(scale_range=(0.7, 1.9), balance=1.0),
    ],
)
def test_photo_and_mask_stay_aligned(kwargs):
    augmentation = Augmentation(crop=(40, 50), color_jitter=None, **kwargs)
    flipped = 0
    for seed in range(20):
        photo, mask = random_blocks(seed)
        generator = np.random.default_rng(seed)
        new_photo, new_mask = augmentation(photo, mask, generator)
        assert new_photo.shape == (40, 50, 3)
        assert new_photo.dtype == np.uint8
        assert new_mask.shape == (40, 50)
        assert new_mask.dtype == np.int32
        recovered, distance = recover(new_photo)
        # Bilinear interpolation mixes colors at the boundaries of blocks.
        is_pure = (distance < 20) & (new_mask < 255)
        assert is_pure.mean() > 0.2
        np.testing.assert_array_equal(recovered[is_pure], new_mask[is_pure])
        if kwargs["scale_range"] == (1, 1):
            np.testing.assert_array_equal(recovered, new_mask)
            windows = np.lib.stride_tricks.sliding_window_view(mask, (40, 50))
            is_crop = (windows == new_mask).all((2, 3)).any()
            is_mirrored = (windows == new_mask[:, ::-1]).all((2, 3)).any()
            assert is_crop or is_mirrored
            flipped += not is_crop
    if kwargs["scale_range"] == (1, 1):
        assert (flipped > 0) == kwargs["flip"]


def test_small_photos_are_padded():
    photo, mask = random_blocks(0, (20, 30))
    augmentation = Augmentation(
        crop=(32, 48), scale_range=(1, 1), flip=False, color_jitter=None
    )
    new_photo, new_mask = augmentation(photo, mask, np.random.default_rng(0))
    np.testing.assert_array_equal(new_photo[:20, :30], photo)
    np.testing.assert_array_equal(new_mask[:20, :30], mask)
    assert (new_mask[20:] == 255).all()
    assert (new_mask[:, 30:] == 255).all()
    # The ImageNet mean, which a model normalizes to about 0.
    mean = np.array([123.675, 116.28, 103.53])
    assert np.abs(new_photo[20:] - mean).max() < 1
    assert np.abs(new_photo[:, 30:] - mean).max() < 1


def test_color_jitter_does_not_change_the_padding():
    """Padding comes last, so that it is always 0 after normalization."""
    photo, mask = random_blocks(0, (20, 30))
    augmentation = Augmentation(crop=(32, 48), scale_range=(1, 1))
    for seed in range(8):
        generator = np.random.default_rng(seed)
        new_photo, _ = augmentation(photo, mask, generator)
        assert (new_photo[20:] == (124, 116, 104)).all()
        assert (new_photo[:, 30:] == (124, 116, 104)).all()


def test_defaults_are_the_published_constants():
    augmentation = Augmentation(crop=(512, 512))
    assert augmentation.scale_range == (0.5, 2.0)
    assert augmentation.max_class_fraction == 0.75
    assert augmentation.flip
    jitter = augmentation.color_jitter
    assert jitter.brightness == 32
    assert jitter.contrast == jitter.saturation == (0.5, 1.5)
    # 18 of the 180 units of OpenCV's 8-bit hue.
    assert jitter.hue == 18 * 360 / 180


def test_random_transforms_have_probability_one_half():
    photo = np.zeros((8, 8, 3), "uint8")
    photo[:, :4] = 255
    mask = np.tile(np.arange(8), (8, 1))
    augmentation = Augmentation(
        crop=(8, 8), scale_range=(1, 1), color_jitter=None
    )
    flips, changes = [], []
    for seed in range(400):
        _, crop = augmentation(photo, mask, np.random.default_rng(seed))
        flips.append(crop[0, 0] == 7)
        matrices = [
            ColorJitter(**kwargs).draw_matrix(np.random.default_rng(seed))
            for kwargs in (
                dict(contrast=(1, 1), saturation=(1, 1), hue=0),
                dict(brightness=0, saturation=(1, 1), hue=0),
                dict(brightness=0, contrast=(1, 1), hue=0),
                dict(brightness=0, contrast=(1, 1), saturation=(1, 1)),
            )
        ]
        changes.append(
            [np.abs(matrix - np.eye(3, 4)).max() > 1e-9 for matrix in matrices]
        )
    # Five standard deviations around one half.
    for frequency in (np.mean(flips), *np.mean(changes, axis=0)):
        assert 0.375 < frequency < 0.625


def test_augmentation_is_a_function_of_the_generator():
    photo, mask = random_blocks(0)
    augmentation = Augmentation(crop=(32, 32))
    results = [
        augmentation(photo, mask, np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert (results[0][0] != results[2][0]).any()


def test_max_class_fraction_limits_the_crops():
    mask = np.zeros((60, 200), "int32")
    mask[:, 180:] = 1
    mask[:, 120:150] = 255
    photo = PALETTE[mask % 5]
    kwargs = dict(crop=(40, 40), scale_range=(1, 1), flip=False)
    success_rates = {}
    for fraction in (0.75, 1.0):
        augmentation = Augmentation(
            **kwargs, color_jitter=None, max_class_fraction=fraction
        )
        largest = []
        for seed in range(100):
            _, crop = augmentation(photo, mask, np.random.default_rng(seed))
            labeled = crop[crop < 255]
            largest.append(np.bincount(labeled).max() / labeled.size)
        success_rates[fraction] = np.mean(np.array(largest) <= 0.75)
    # About one crop in nine contains enough of class 1: 11 trials succeed with
    # probability 1 - (8 / 9) ** 11 = 73 %.
    assert success_rates[1.0] < 0.25
    assert 0.55 < success_rates[0.75] < 0.9


def test_crops_without_labeled_pixels_are_retried():
    mask = np.full((40, 400), 255, "int32")
    mask[:20, 300:], mask[20:, 300:] = 0, 1
    labeled_rates = {}
    for fraction in (0.75, 1.0):
        augmentation = Augmentation(
            crop=(40, 40), scale_range=(1, 1), flip=False,
            color_jitter=None, max_class_fraction=fraction,
        )  # fmt: skip
        crops = [
            augmentation(
                np.zeros((40, 400, 3), "uint8"),
                mask,
                np.random.default_rng(seed),
            )[1]
            for seed in range(60)
        ]
        is_labeled = [(crop < 255).any() for crop in crops]
        labeled_rates[fraction] = np.mean(is_labeled)
    # 100 of 361 crops overlap the labeled part.
    assert 0.1 < labeled_rates[1.0] < 0.5
    assert labeled_rates[0.75] > 0.85


# The largest scale with the longer side at most `max(fit)` and the shorter
# side at most `min(fit)`.
@pytest.mark.parametrize(
    "shape, fit, size",
    [
        ((512, 683), (2048, 512), (512, 683)),
        ((1024, 683), (2048, 512), (768, 512)),
        ((300, 3000), (2048, 512), (205, 2048)),
        ((1024, 2048), (2049, 1025), (1024.5, 2049)),
        ((1024, 2048), (1025, 2049), (1024.5, 2049)),
        ((2000, 1000), (2048, 512), (1024, 512)),
    ],
)
def test_fit_scale(shape, fit, size):
    scaled = np.array(shape) * fit_scale(shape, fit)
    np.testing.assert_allclose(scaled, size, atol=0.5)


@pytest.mark.parametrize("shape", [(60, 90), (120, 180), (180, 120)])
def test_fit_normalizes_the_scale_of_photos(shape):
    """Measure the scale with a rectangle of a third of the photo's sides."""
    mask = np.zeros(shape, "int32")
    height, width = (side // 3 for side in shape)
    mask[height : 2 * height, width : 2 * width] = 1
    augmentation = Augmentation(
        crop=(400, 400), scale_range=(2, 2), flip=False, color_jitter=None,
        max_class_fraction=1.0, fit=(200, 40),
    )  # fmt: skip
    photo = PALETTE[mask]
    photo, mask = augmentation(photo, mask, np.random.default_rng(0))
    rows, columns = np.nonzero(mask < 255)
    sides = sorted((rows.max() + 1, columns.max() + 1))
    assert sides == [80, 120]
    assert (mask == 1).sum() == pytest.approx(80 * 120 / 9, rel=0.1)
    assert (photo[(mask == 1)] == PALETTE[1]).all(-1).mean() > 0.7


def test_scale_range_is_relative_to_the_fitted_size():
    """Photos of two sizes with the same aspect ratio give the same crops."""
    augmentation = Augmentation(
        crop=(64, 64), color_jitter=None, fit=(128, 64), flip=False
    )
    crops = []
    for factor in (1, 4):
        mask = np.kron(np.arange(8), np.ones((64, 16), int)) % 5
        mask = np.kron(mask, np.ones((factor, factor), int))
        _, crop = augmentation(PALETTE[mask], mask, np.random.default_rng(1))
        crops.append(crop)
    assert (crops[0] == crops[1]).mean() > 0.97


def test_balance_oversamples_rare_classes():
    mask = np.zeros((100, 100), "int32")
    mask[70:72, 30:32] = 3
    photo = PALETTE[mask]
    frequencies = {}
    for balance in (0.0, 1.0):
        augmentation = Augmentation(
            crop=(20, 20), scale_range=(1, 1), max_class_fraction=1.0,
            color_jitter=None, balance=balance,
        )  # fmt: skip
        crops = [
            augmentation(photo, mask, np.random.default_rng(seed))[1]
            for seed in range(60)
        ]
        is_present = [(crop == 3).any() for crop in crops]
        frequencies[balance] = np.mean(is_present)
    assert frequencies[0.0] < 0.2
    assert frequencies[1.0] > 0.35


def test_balance_without_labeled_pixels():
    photo, mask = random_blocks(0)
    augmentation = Augmentation(crop=(20, 20), balance=1.0)
    _, crop = augmentation(
        photo, np.full_like(mask, 255), np.random.default_rng(0)
    )
    assert (crop == 255).all()


def test_color_jitter_applies_its_matrix():
    photo = np.random.default_rng(0).integers(0, 256, (9, 9, 3), "uint8")
    for seed in range(20):
        matrix = ColorJitter().draw_matrix(np.random.default_rng(seed))
        expected = photo @ matrix[:, :3].T + matrix[:, 3]
        jittered = ColorJitter()(photo, np.random.default_rng(seed))
        assert np.abs(np.clip(expected, 0, 255) - jittered).max() <= 0.51


@pytest.mark.parametrize(
    "kwargs, gray",
    [
        (dict(brightness=0, contrast=(1, 1)), lambda gray: gray),
        (
            dict(brightness=0, contrast=(0.5, 0.5)),
            lambda gray: np.array([gray, gray / 2]),
        ),
    ],
)
def test_hue_and_saturation_preserve_gray(kwargs, gray):
    for seed in range(20):
        matrix = ColorJitter(**kwargs).draw_matrix(np.random.default_rng(seed))
        value = matrix[:, :3] @ np.full(3, 100.0) + matrix[:, 3]
        assert np.ptp(value) < 0.5
        assert np.abs(gray(100.0) - value[0]).min() < 0.5


def test_hue_rotates_red_toward_yellow_and_violet():
    jitter = ColorJitter(0, (1, 1), (1, 1), hue=36)
    colors = {
        tuple(
            jitter(
                np.full((1, 1, 3), (200, 50, 50), "uint8"),
                np.random.default_rng(seed),
            )[0, 0].tolist()
        )
        for seed in range(40)
    }
    assert (200, 50, 50) in colors
    assert any(green > blue + 20 for _, green, blue in colors)
    assert any(blue > green + 20 for _, green, blue in colors)


def test_padding():
    photo, mask = random_blocks(0)
    new_photo, new_mask = Padding((64, 96))(photo, mask)
    np.testing.assert_array_equal(new_photo[:60, :90], photo)
    np.testing.assert_array_equal(new_mask[:60, :90], mask)
    assert (new_mask[60:] == 255).all()
    with pytest.raises(ValueError, match=r"at least as large.*size=\(64, 80\)"):
        Padding((64, 80))(photo, mask)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Augmentation(crop=32), "`crop` must be a height and a width"),
        (lambda: Augmentation(crop=(0, 3)), r"Received: crop=\(0, 3\)"),
        (
            lambda: Augmentation((8, 8), scale_range=(2, 1)),
            r"`scale_range` .*Received: scale_range=\(2, 1\)",
        ),
        (
            lambda: Augmentation((8, 8), max_class_fraction=75),
            "`max_class_fraction` must be .*=75",
        ),
        (lambda: Augmentation((8, 8), balance=-1), "`balance` must be .*=-1"),
        (lambda: Augmentation((8, 8), color_jitter=1), "`color_jitter` must"),
        (
            lambda: Augmentation((8, 8), fit=2048),
            "`fit` must be maxima of the longer and shorter side.*fit=2048",
        ),
        (lambda: ColorJitter(hue=-1), "`hue` must be at least 0.*hue=-1"),
        (lambda: ColorJitter(contrast=(2, 1)), "`contrast` must be a smallest"),
        (lambda: Padding((2.0, 3)), "`size` must be a height and a width"),
    ],
)
def test_invalid_arguments_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "photo, mask, message",
    [
        ((8, 8, 4), (8, 8), r"`photo` must be .*Received: shape \(8, 8, 4\)"),
        ((8, 8), (8, 8), r"`photo` must be .*Received: shape \(8, 8\)"),
        ((8, 8, 3), (8, 9), r"`mask` must be .*Received: shape \(8, 9\)"),
        ((0, 8, 3), (0, 8), "`photo` must not be empty"),
    ],
)
@pytest.mark.parametrize("transform", [Augmentation((4, 4)), Padding((9, 9))])
def test_invalid_photos_and_masks_raise(transform, photo, mask, message):
    with pytest.raises(ValueError, match=message):
        transform(
            np.zeros(photo, "uint8"),
            np.zeros(mask, "int32"),
            np.random.default_rng(0),
        )


def test_float_photos_and_masks_raise():
    photo, mask = np.zeros((8, 8, 3)), np.zeros((8, 8), "int32")
    with pytest.raises(ValueError, match="`photo` .*dtype float64"):
        Padding((8, 8))(photo, mask)
    with pytest.raises(ValueError, match="`mask` .*dtype float64"):
        Padding((8, 8))(photo.astype("uint8"), mask.astype(float))
