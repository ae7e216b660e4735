"""Reading photos of all formats, color modes and orientations."""

import io

import numpy as np
import pytest
from PIL import Image

from gss_keras.data.photos import photo_size, read_any_photo

pytestmark = pytest.mark.any_backend

# Left half dark, right half light, to detect wrong orientations.
GRAY = np.repeat(np.array([[40] * 8 + [200] * 8], "uint8"), 10, axis=0)


def to_file(image, file_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_all_modes_become_rgb(mode):
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.fromarray(GRAY).convert("RGB")
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    file = to_file(image, file_format)
    photo = read_any_photo(file)
    assert photo.shape == (10, 16, 3) and photo.dtype == np.uint8
    assert photo_size(file) == (10, 16)
    if mode != "1":
        expected = np.repeat(GRAY[..., None], 3, axis=2).astype(int)
        assert np.abs(photo - expected).max() <= 3


def test_16_bits_become_8():
    pixels = GRAY.astype("uint16") * 257
    photo = read_any_photo(to_file(Image.fromarray(pixels)))
    np.testing.assert_array_equal(photo[..., 1], GRAY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # The pixels that a camera stores for each orientation tag.
    stored = {
        1: GRAY, 2: GRAY[:, ::-1], 3: GRAY[::-1, ::-1], 4: GRAY[::-1],
        5: GRAY.T, 6: np.rot90(GRAY), 7: np.rot90(GRAY, 2).T,
        8: np.rot90(GRAY, -1),
    }[orientation]  # fmt: skip
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = to_file(image, "PNG", exif=exif)
    assert photo_size(file) == (10, 16)
    np.testing.assert_array_equal(read_any_photo(file)[..., 0], GRAY)


def test_first_frame_of_an_animation_is_read():
    frames = [Image.new("L", (5, 4), value) for value in (10, 250)]
    file = to_file(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_any_photo(file), np.full((4, 5, 3), 10))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_truncated_photos_raise(tmp_path, file_format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    data = to_file(Image.fromarray(noise), file_format).getvalue()
    path = tmp_path / "half"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"Received: .*half"):
        read_any_photo(path)


def test_unsupported_files_raise(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no photo")
    # Pillow would run an external program for this one.
    (tmp_path / "drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    for name in ("empty", "text", "drawing"):
        message = f"{name}.jpg, which has another format"
        with pytest.raises(ValueError, match=message):
            read_any_photo(tmp_path / f"{name}.jpg")
    with pytest.raises(ValueError, match="There is no such file"):
        photo_size(tmp_path / "nowhere.jpg")
    floats = Image.fromarray(GRAY.astype("float32"))
    with pytest.raises(ValueError, match="must have integer pixels"):
        read_any_photo(to_file(floats, "TIFF"))


def test_decompression_bombs_raise(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 70)
    with pytest.raises(ValueError, match="decompression bomb"):
        read_any_photo(to_file(Image.fromarray(GRAY)))
