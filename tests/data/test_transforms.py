import numpy as np
import pytest

from gss_keras.data import Augmentation, ColorJitter, Padding

PALETTE = np.array(
    [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]],
    "uint8",
)


def random_blocks(seed, shape=(60, 90)):
    """A mask of blocks, and a photo which paints it with colors."""
    generator = np.random.default_rng(seed)
    mask = generator.integers(0, 5, (5, 6))
    mask = np.kron(mask, np.ones((12, 15), int))[: shape[0], : shape[1]]
    return PALETTE[mask], mask.astype("int32")


def recover(photo):
    """The mask which a photo was painted from."""
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
        found, distance = recover(new_photo)
        # Bilinear scaling mixes colors at the borders of blocks.
        sure = (distance < 20) & (new_mask < 255)
        assert sure.mean() > 0.2
        np.testing.assert_array_equal(found[sure], new_mask[sure])
        if kwargs["scale_range"] == (1, 1):
            np.testing.assert_array_equal(found, new_mask)
            windows = np.lib.stride_tricks.sliding_window_view(mask, (40, 50))
            same = (windows == new_mask).all((2, 3)).any()
            mirrored = (windows == new_mask[:, ::-1]).all((2, 3)).any()
            assert same or mirrored
            flipped += not same
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


def test_reproducible_from_the_generator():
    photo, mask = random_blocks(0)
    augmentation = Augmentation(crop=(32, 32))
    results = [
        augmentation(photo, mask, np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert (results[0][0] != results[2][0]).any()


def test_crops_keep_to_the_largest_share_of_a_class():
    mask = np.zeros((60, 200), "int32")
    mask[:, 180:] = 1
    mask[:, 120:150] = 255
    photo = PALETTE[mask % 5]
    kwargs = dict(crop=(40, 40), scale_range=(1, 1), flip=False)
    shares = {}
    for fraction in (0.75, 1.0):
        augmentation = Augmentation(
            **kwargs, color_jitter=None, max_class_fraction=fraction
        )
        largest = []
        for seed in range(100):
            _, crop = augmentation(photo, mask, np.random.default_rng(seed))
            labeled = crop[crop < 255]
            largest.append(np.bincount(labeled).max() / labeled.size)
        shares[fraction] = np.mean(np.array(largest) <= 0.75)
    # About one crop in nine shows enough of class 1: ten trials find one
    # in 1 - (8 / 9) ** 10 = 69 % of the cases.
    assert shares[1.0] < 0.25
    assert 0.55 < shares[0.75] < 0.9


def test_balance_shows_rare_classes():
    mask = np.zeros((100, 100), "int32")
    mask[70:72, 30:32] = 3
    photo = PALETTE[mask]
    found = {}
    for balance in (0.0, 1.0):
        augmentation = Augmentation(
            crop=(20, 20), scale_range=(1, 1), max_class_fraction=1.0,
            color_jitter=None, balance=balance,
        )  # fmt: skip
        crops = [
            augmentation(photo, mask, np.random.default_rng(seed))[1]
            for seed in range(60)
        ]
        found[balance] = np.mean([(crop == 3).any() for crop in crops])
    assert found[0.0] < 0.2
    assert found[1.0] > 0.35


def test_balance_with_nothing_labeled():
    photo, mask = random_blocks(0)
    augmentation = Augmentation(crop=(20, 20), balance=1.0)
    _, crop = augmentation(
        photo, np.full_like(mask, 255), np.random.default_rng(0)
    )
    assert (crop == 255).all()


def test_color_jitter_follows_its_matrix():
    photo = np.random.default_rng(0).integers(0, 256, (9, 9, 3), "uint8")
    for seed in range(20):
        matrix = ColorJitter().draw_matrix(np.random.default_rng(seed))
        expected = photo @ matrix[:, :3].T + matrix[:, 3]
        found = ColorJitter()(photo, np.random.default_rng(seed))
        assert np.abs(np.clip(expected, 0, 255) - found).max() <= 0.51


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
def test_hue_and_saturation_keep_gray(kwargs, gray):
    for seed in range(20):
        matrix = ColorJitter(**kwargs).draw_matrix(np.random.default_rng(seed))
        value = matrix[:, :3] @ np.full(3, 100.0) + matrix[:, 3]
        assert np.ptp(value) < 0.5
        assert np.abs(gray(100.0) - value[0]).min() < 0.5


def test_hue_turns_red_towards_yellow_or_violet():
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
            "`max_class_fraction` must lie .*=75",
        ),
        (lambda: Augmentation((8, 8), balance=-1), "`balance` must lie .*=-1"),
        (lambda: Augmentation((8, 8), color_jitter=1), "`color_jitter` must"),
        (lambda: ColorJitter(hue=-1), "`hue` must be at least 0.*hue=-1"),
        (lambda: ColorJitter(contrast=(2, 1)), "`contrast` must be a lowest"),
        (lambda: Padding((2.0, 3)), "`size` must be a height and a width"),
    ],
)
def test_bad_arguments(make, message):
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
def test_bad_photos_and_masks(transform, photo, mask, message):
    with pytest.raises(ValueError, match=message):
        transform(
            np.zeros(photo, "uint8"),
            np.zeros(mask, "int32"),
            np.random.default_rng(0),
        )


def test_float_photos_and_masks_are_refused():
    photo, mask = np.zeros((8, 8, 3)), np.zeros((8, 8), "int32")
    with pytest.raises(ValueError, match="`photo` .*dtype float64"):
        Padding((8, 8))(photo, mask)
    with pytest.raises(ValueError, match="`mask` .*dtype float64"):
        Padding((8, 8))(photo.astype("uint8"), mask.astype(float))
