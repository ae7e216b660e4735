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
MANY = 10**9


def as_file(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colorful(height=6, width=9):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), "uint8")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_files_come_back_byte_for_byte(kind):
    pixels = colorful()
    pixels = np.where(pixels > 127, 255, 0).astype("uint8")  # fits a GIF
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    file = as_file(Image.fromarray(pixels), kind, **options)
    photo = read_upload(file, MANY)
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.file_size == (9, 6)


def test_gray_photos_get_three_equal_channels():
    gray = colorful()[..., 0]
    pixels = read_upload(as_file(Image.fromarray(gray)), MANY).pixels
    np.testing.assert_array_equal(pixels, np.stack([gray] * 3, axis=-1))


def test_alpha_is_dropped_whatever_it_holds():
    pixels = colorful()
    alpha = colorful()[..., :1]
    picture = Image.fromarray(np.concatenate([pixels, alpha], axis=-1))
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(
        read_upload(as_file(picture), MANY).pixels, pixels
    )


def test_sixteen_bits_become_eight_without_clipping():
    gray = np.array([[0, 257, 32896, 65535]], "uint16")
    file = as_file(Image.fromarray(gray))
    pixels = read_upload(file, MANY).pixels
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK"])
def test_other_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = Image.new("RGB", (4, 3), "white").convert(mode)
    pixels = read_upload(as_file(picture, kind), MANY).pixels
    assert pixels.shape == (3, 4, 3)
    assert pixels.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright_whichever_way_the_camera_was_held(orientation):
    upright = colorful()
    # How each orientation of the EXIF standard lies in the file.
    lying = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    picture = Image.fromarray(np.ascontiguousarray(lying))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_upload(as_file(picture, exif=exif), MANY)
    np.testing.assert_array_equal(photo.pixels, upright)
    assert photo.file_size == (9, 6)


def test_a_damaged_orientation_leaves_the_photo_as_it_lies():
    pixels = colorful()
    file = as_file(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff")
    np.testing.assert_array_equal(read_upload(file, MANY).pixels, pixels)


def test_one_pixel_is_a_photo():
    file = as_file(Image.new("RGB", (1, 1), (1, 2, 3)))
    assert read_upload(file, MANY).pixels.tolist() == [[[1, 2, 3]]]


def test_huge_photos_are_reduced_and_little_memory_is_taken():
    file = as_file(Image.new("RGB", (8000, 6000), (200, 100, 50)), "JPEG")
    tracemalloc.start()
    photo = read_upload(file, 786_432)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert photo.pixels.shape == (768, 1024, 3)
    assert photo.file_size == (8000, 6000)
    assert np.abs(photo.pixels.astype(int) - [200, 100, 50]).max() <= 3
    # NumPy's part; that of Pillow is held below by the decoding at a fourth.
    assert peak < 20e6


def test_a_sideways_huge_photo_is_reduced_along_its_own_sides():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = as_file(Image.new("RGB", (2000, 1000)), "JPEG", exif=exif)
    photo = read_upload(file, 20_000)
    assert photo.file_size == (1000, 2000)
    assert photo.pixels.shape == (200, 100, 3)


@pytest.mark.parametrize(
    "size", [(1, 1), (8000, 6000), (1, 60000), (60000, 1), (3, 5000)]
)
def test_reduced_sizes_fit(size):
    width, height = reduced_size(size, 10_000)
    assert 1 <= width <= 4096
    assert 1 <= height <= 4096
    assert width * height <= 10_000 or 1 in (width, height)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_truncated_file_gives_one_clear_error(kind):
    file = as_file(Image.fromarray(colorful(60, 80)), kind)
    for share in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(UploadError, match="Received"):
            read_upload(file[: int(share * len(file))], MANY)


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
def test_what_is_no_photo_gives_one_clear_error(data, message):
    with pytest.raises(UploadError, match=message):
        read_upload(data, MANY)


def test_floats_are_refused():
    file = as_file(Image.fromarray(np.ones((2, 2), "float32")), "TIFF")
    with pytest.raises(UploadError, match="whole numbers"):
        read_upload(file, MANY)


def declared(width, height):
    """A PNG file that claims a size and holds next to nothing."""
    file = bytearray(as_file(Image.new("L", (1, 1))))
    place = file.index(b"IHDR")
    file[place + 4 : place + 12] = width.to_bytes(4) + height.to_bytes(4)
    import zlib

    checksum = zlib.crc32(file[place : place + 17])
    file[place + 17 : place + 21] = checksum.to_bytes(4)
    return bytes(file)


@pytest.mark.parametrize("side", [8001, 9500, 12000, 60000])
def test_pixel_bombs_are_refused_before_they_are_decoded(side):
    million = MAX_FILE_PIXELS // 10**6
    with pytest.raises(UploadError, match=re.escape(f"{million} million")):
        read_upload(declared(side, side), 10_000)
