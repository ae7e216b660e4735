import io
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from gss_keras.demo.uploads import (
    MAX_FILE_PIXELS,
    UploadError,
    read_upload,
    reduced_size,
)

pytestmark = pytest.mark.any_backend
NO_LIMIT = 10**9


def as_file(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colorful(height=6, width=9):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), "uint8")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_files_are_decoded_exactly(kind):
    pixels = colorful()
    # Few enough colors for a GIF.
    pixels = np.where(pixels > 127, 255, 0).astype("uint8")
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    file = as_file(Image.fromarray(pixels), kind, **options)
    photo = read_upload(file, NO_LIMIT)
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.file_size == (9, 6)


def test_grayscale_becomes_rgb():
    gray = colorful()[..., 0]
    pixels = read_upload(as_file(Image.fromarray(gray)), NO_LIMIT).pixels
    np.testing.assert_array_equal(pixels, np.stack([gray] * 3, axis=-1))


def test_the_alpha_channel_is_dropped():
    pixels = colorful()
    alpha = colorful()[..., :1]
    picture = Image.fromarray(np.concatenate([pixels, alpha], axis=-1))
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(
        read_upload(as_file(picture), NO_LIMIT).pixels, pixels
    )


def test_16_bits_are_reduced_to_8_without_clipping():
    gray = np.array([[0, 257, 32896, 65535]], "uint16")
    file = as_file(Image.fromarray(gray))
    pixels = read_upload(file, NO_LIMIT).pixels
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK"])
def test_other_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = Image.new("RGB", (4, 3), "white").convert(mode)
    pixels = read_upload(as_file(picture, kind), NO_LIMIT).pixels
    assert pixels.shape == (3, 4, 3)
    assert pixels.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_are_applied(orientation):
    upright = colorful()
    # The stored image for each EXIF orientation.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    picture = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_upload(as_file(picture, exif=exif), NO_LIMIT)
    np.testing.assert_array_equal(photo.pixels, upright)
    assert photo.file_size == (9, 6)


def test_a_damaged_exif_orientation_is_ignored():
    pixels = colorful()
    file = as_file(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff")
    np.testing.assert_array_equal(read_upload(file, NO_LIMIT).pixels, pixels)


def test_a_photo_of_one_pixel():
    file = as_file(Image.new("RGB", (1, 1), (1, 2, 3)))
    assert read_upload(file, NO_LIMIT).pixels.tolist() == [[[1, 2, 3]]]


def test_huge_photos_are_downscaled_with_bounded_peak_memory():
    file = as_file(Image.new("RGB", (8000, 6000), (200, 100, 50)), "JPEG")
    tracemalloc.start()
    photo = read_upload(file, 786_432)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert photo.pixels.shape == (768, 1024, 3)
    assert photo.file_size == (8000, 6000)
    assert np.abs(photo.pixels.astype(int) - [200, 100, 50]).max() <= 3
    # NumPy's part only; Pillow's is bounded by decoding at a quarter scale.
    assert peak < 20e6


def test_a_large_rotated_photo_is_downscaled_after_its_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = as_file(Image.new("RGB", (2000, 1000)), "JPEG", exif=exif)
    photo = read_upload(file, 20_000)
    assert photo.file_size == (1000, 2000)
    assert photo.pixels.shape == (200, 100, 3)


@pytest.mark.parametrize(
    "size", [(1, 1), (8000, 6000), (1, 60000), (60000, 1), (3, 5000)]
)
def test_reduced_sizes_respect_the_limits(size):
    width, height = reduced_size(size, 10_000)
    assert 1 <= width <= 4096
    assert 1 <= height <= 4096
    assert width * height <= 10_000 or 1 in (width, height)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_raise(kind):
    file = as_file(Image.fromarray(colorful(60, 80)), kind)
    for fraction in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(UploadError, match="Received"):
            read_upload(file[: int(fraction * len(file))], NO_LIMIT)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "JPEG, PNG"),
        (b"%PDF-1.7\n" + bytes(100), "JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "JPEG, PNG"),
        (bytes(1000), "JPEG, PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "Received"),
        (b"\xff\xd8\xff" + bytes(50), "Received"),
    ],
)
def test_files_that_are_not_images_raise(data, message):
    with pytest.raises(UploadError, match=message):
        read_upload(data, NO_LIMIT)


def test_floating_point_images_raise():
    file = as_file(Image.fromarray(np.ones((2, 2), "float32")), "TIFF")
    with pytest.raises(UploadError, match="integer pixel values"):
        read_upload(file, NO_LIMIT)


def png_with_header_size(width, height):
    """Build a PNG file of one pixel whose header claims another size."""
    file = bytearray(as_file(Image.new("L", (1, 1))))
    offset = file.index(b"IHDR")
    file[offset + 4 : offset + 12] = width.to_bytes(4) + height.to_bytes(4)
    import zlib

    checksum = zlib.crc32(file[offset : offset + 17])
    file[offset + 17 : offset + 21] = checksum.to_bytes(4)
    return bytes(file)


@pytest.mark.parametrize("side", [8001, 9500, 12000, 60000])
def test_decompression_bombs_raise_before_decoding(side):
    million = MAX_FILE_PIXELS // 10**6
    with pytest.raises(UploadError, match=re.escape(f"{million} million")):
        read_upload(png_with_header_size(side, side), 10_000)
