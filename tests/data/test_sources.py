import numpy as np
import pytest
from PIL import Image

from gss_keras.data import CamVid, Folders, Resized, load_all
from gss_keras.synthetic import streets

pytestmark = pytest.mark.any_backend


def save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)


@pytest.fixture
def folders(tmp_path):
    """Two photos, a PNG and a JPEG, with a grayscale and a palette mask."""
    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (6, 8, 3), "uint8")
    mask = generator.integers(0, 3, (6, 8), "uint8")
    save(tmp_path / "images" / "a.png", photo)
    save(tmp_path / "images" / "b.JPG", photo)
    save(tmp_path / "masks" / "a.png", mask)
    save(tmp_path / "masks" / "b.png", mask, palette=list(range(256)) * 3)
    return tmp_path, photo, mask


def read(folder, classes=("sky", "road", "car"), **kwargs):
    return Folders(folder / "images", folder / "masks", classes, **kwargs)


def test_reads_grayscale_and_palette_masks(folders):
    folder, photo, mask = folders
    source = read(folder)
    assert len(source) == 2
    assert source.names == ("a", "b")
    assert source.classes == ("sky", "road", "car")
    assert (source.num_classes, source.ignore_label) == (3, 255)
    with Image.open(folder / "masks" / "b.png") as image:
        assert image.mode == "P"
    for record in (source[0], source[1], source[-1]):
        assert record["photo"].dtype == np.uint8
        assert record["mask"].dtype == np.int32
        np.testing.assert_array_equal(record["mask"], mask)
    np.testing.assert_array_equal(source[0]["photo"], photo)
    with pytest.raises(IndexError):
        source[2]


def test_classes_from_a_file_and_ignored_ids(folders):
    folder, _, mask = folders
    (folder / "classes.txt").write_text("sky\ncar, van\n")
    source = read(folder, folder / "classes.txt", ignore=2)
    assert source.classes == ("sky", "car, van")
    expected = np.where(mask == 2, 255, mask)
    np.testing.assert_array_equal(source[0]["mask"], expected)


def test_255_is_always_ignored(folders):
    folder, _, mask = folders
    save(folder / "masks" / "a.png", np.where(mask == 1, 255, mask))
    expected = np.where(mask == 1, 255, mask)
    np.testing.assert_array_equal(read(folder)[0]["mask"], expected)


def test_grayscale_photos_become_rgb(folders):
    folder, photo, _ = folders
    save(folder / "images" / "a.png", photo[..., 0])
    expected = np.repeat(photo[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(read(folder)[0]["photo"], expected)


def test_load_all_stacks_photos_and_masks(folders):
    folder, photo, mask = folders
    photos, masks = load_all(read(folder))
    assert photos.shape == (2, 6, 8, 3)
    np.testing.assert_array_equal(photos[0], photo)
    np.testing.assert_array_equal(masks, [mask, mask])


def with_unknown_id(folder):
    save(folder / "masks" / "a.png", np.full((6, 8), 7, "uint8"))


def with_small_mask(folder):
    save(folder / "masks" / "a.png", np.zeros((6, 7), "uint8"))


def with_color_mask(folder):
    save(folder / "masks" / "a.png", np.zeros((6, 8, 3), "uint8"))


def with_transparent_photo(folder):
    save(folder / "images" / "a.png", np.zeros((6, 8, 4), "uint8"))


def with_damaged_photo(folder):
    path = folder / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    "corrupt, message",
    [
        (with_unknown_id, r"ids from 0 to 2.*Received: .*a\.png with 7"),
        (with_small_mask, r"\(6, 8\) for .*Received: \(6, 7\) for .*a\.png"),
        (with_color_mask, r"one channel.*Received: .*a\.png of mode 'RGB'"),
        (with_transparent_photo, r"three channels.*a\.png of mode 'RGBA'"),
        (with_damaged_photo, r"complete PNG.*Received: .*a\.png"),
    ],
)
def test_bad_files_raise(folders, corrupt, message):
    corrupt(folders[0])
    source = read(folders[0])
    with pytest.raises(ValueError, match=message):
        source[0]
    assert source[1]["photo"].shape == (6, 8, 3)


def test_bad_folders_raise(folders):
    folder = folders[0]
    with pytest.raises(ValueError, match="`photos` must be an existing"):
        Folders(folder / "photos", folder / "masks", ["sky"])
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="`masks` must contain .png files"):
        Folders(folder / "images", folder / "empty", ["sky"])
    (folder / "masks" / "b.png").unlink()
    with pytest.raises(ValueError, match="must have a mask.*1 of 2.*: b"):
        read(folder)
    (folder / "images" / "b.JPG").unlink()
    save(folder / "masks" / "c.png", np.zeros((6, 8), "uint8"))
    with pytest.raises(ValueError, match="must have a photo.*1 of 2.*: c"):
        read(folder)
    save(folder / "images" / "a.jpg", np.zeros((6, 8, 3), "uint8"))
    with pytest.raises(ValueError, match="one file per name"):
        read(folder)


@pytest.mark.parametrize(
    "classes, ignore, message",
    [
        ((), (), "`classes` must be 1 to 255 distinct names.*0 names"),
        (("a", "a"), (), "2 names, 1 of them distinct"),
        ("no/such/file.txt", (), "`classes` must be a sequence of names"),
        (("a", "b", "c"), -1, "`ignore` must be ids"),
    ],
)
def test_invalid_classes_raise(folders, classes, ignore, message):
    with pytest.raises(ValueError, match=message):
        read(folders[0], classes, ignore=ignore)


def test_camvid_reads_the_segnet_layout(tmp_path):
    photo = np.zeros((4, 6, 3), "uint8")
    mask = np.arange(24, dtype="uint8").reshape(4, 6) % 12
    save(tmp_path / "val" / "x.png", photo)
    save(tmp_path / "valannot" / "x.png", mask)
    source = CamVid(tmp_path, "val")
    assert source.num_classes == 11
    assert source.classes[8] == "car"
    expected = np.where(mask == 11, 255, mask)
    np.testing.assert_array_equal(source[0]["mask"], expected)
    with pytest.raises(ValueError, match=r"(?s)train is missing.*data_dir="):
        CamVid(tmp_path, "train")
    with pytest.raises(ValueError, match="`split` of .*split='all'"):
        CamVid(tmp_path, "all")


def test_resized_records_match_the_originals(tmp_path):
    source = streets.draw(tmp_path / "streets", 2, size=(64, 96), seed=0)
    half = Resized(source, (48, 32))
    assert len(half) == len(source) and half.classes == source.classes
    for record, small in zip(source, half, strict=False):
        assert small["name"] == record["name"]
        assert small["photo"].shape == (32, 48, 3)
        assert small["photo"].dtype == np.uint8
        assert small["mask"].dtype == np.int32
        means = record["photo"].reshape(32, 2, 48, 2, 3).mean((1, 3))
        assert np.abs(small["photo"] - means).mean() < 8
        # Each id occurs in the corresponding 2 x 2 block.
        blocks = record["mask"].reshape(32, 2, 48, 2).transpose(0, 2, 1, 3)
        assert (small["mask"][..., None, None] == blocks).any((2, 3)).all()
    same_size = Resized(source, (96, 64))[1]
    np.testing.assert_array_equal(same_size["photo"], source[1]["photo"])
    np.testing.assert_array_equal(same_size["mask"], source[1]["mask"])
