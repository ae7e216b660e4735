"""Photos of every kind are read as people see them, or refused."""

import io

import numpy as np
import pytest
from PIL import Image

from gss_keras.data.photos import photo_size, read_any_photo

pytestmark = pytest.mark.any_backend

# Left half dark, right half light, so that a turned photo shows.
GRAY = np.repeat(np.array([[40] * 8 + [200] * 8], "uint8"), 10, axis=0)


def file_of(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_all_kinds_of_pixels_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = Image.fromarray(GRAY).convert("RGB")
    picture = picture.quantize(8) if mode == "P" else picture.convert(mode)
    file = file_of(picture, kind)
    photo = read_any_photo(file)
    assert photo.shape == (10, 16, 3) and photo.dtype == np.uint8
    assert photo_size(file) == (10, 16)
    if mode != "1":
        expected = np.repeat(GRAY[..., None], 3, axis=2).astype(int)
        assert np.abs(photo - expected).max() <= 3


def test_sixteen_bits_become_eight():
    deep = GRAY.astype("uint16") * 257
    photo = read_any_photo(file_of(Image.fromarray(deep)))
    np.testing.assert_array_equal(photo[..., 1], GRAY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(orientation):
    # What a camera writes: pixels as held, and how to turn them.
    held = {
        1: GRAY, 2: GRAY[:, ::-1], 3: GRAY[::-1, ::-1], 4: GRAY[::-1],
        5: GRAY.T, 6: np.rot90(GRAY), 7: np.rot90(GRAY, 2).T,
        8: np.rot90(GRAY, -1),
    }[orientation]  # fmt: skip
    picture = Image.fromarray(np.ascontiguousarray(held))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = file_of(picture, "PNG", exif=exif)
    assert photo_size(file) == (10, 16)
    np.testing.assert_array_equal(read_any_photo(file)[..., 0], GRAY)


def test_of_an_animation_the_first_picture_is_taken():
    pictures = [Image.new("L", (5, 4), value) for value in (10, 250)]
    file = file_of(
        pictures[0], "GIF", save_all=True, append_images=pictures[1:]
    )
    np.testing.assert_array_equal(read_any_photo(file), np.full((4, 5, 3), 10))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_truncated_photo_is_named(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    data = file_of(Image.fromarray(noise), kind).getvalue()
    path = tmp_path / "half"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"Received: .*half"):
        read_any_photo(path)


def test_what_is_no_photo_is_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no photo")
    # Pillow would hand this one to another program.
    (tmp_path / "drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    for name in ("empty", "text", "drawing"):
        with pytest.raises(ValueError, match=f"{name}.jpg, which is something"):
            read_any_photo(tmp_path / f"{name}.jpg")
    with pytest.raises(ValueError, match="There is no such file"):
        photo_size(tmp_path / "nowhere.jpg")
    floats = Image.fromarray(GRAY.astype("float32"))
    with pytest.raises(ValueError, match="must have whole numbers"):
        read_any_photo(file_of(floats, "TIFF"))


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 70)
    with pytest.raises(ValueError, match="decompression bomb"):
        read_any_photo(file_of(Image.fromarray(GRAY)))
