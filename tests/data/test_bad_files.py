import multiprocessing
import os

import numpy as np
import pytest
from PIL import Image

from gss_keras.data import (
    Augmentation,
    SkipBadFiles,
    batches,
    load,
    miniature,
    read_report,
)

pytestmark = pytest.mark.any_backend


def truncate(path):
    """Truncate a file to half its size."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def truncate_photo(source, index):
    truncate(source.photo_paths[index])
    return source.photo_paths[index]


def truncate_mask(source, index):
    truncate(source.mask_paths[index])
    return source.mask_paths[index]


def empty_photo(source, index):
    source.photo_paths[index].write_bytes(b"")
    return source.photo_paths[index]


def remove_photo(source, index):
    source.photo_paths[index].unlink()
    return source.photo_paths[index]


def replace_photo_with_html(source, index):
    source.photo_paths[index].write_text("<html>404 Not Found</html>")
    return source.photo_paths[index]


def shrink_mask(source, index):
    path = source.mask_paths[index]
    with Image.open(path) as mask:
        smaller = mask.crop((0, 0, 20, 20))
    smaller.save(path)
    return path


def mislabel(source, index):
    path = source.mask_paths[index]
    with Image.open(path) as mask:
        pixels = np.array(mask)
    pixels[0, 0] = 200
    Image.fromarray(pixels).save(path)
    return path


CORRUPTIONS = [
    truncate_photo, truncate_mask, empty_photo, remove_photo,
    replace_photo_with_html, shrink_mask, mislabel,
]  # fmt: skip


def make(tmp_path, name="ade20k", count=6):
    folder = miniature.write(
        name, tmp_path / name, size=(64, 64), counts={"train": count}
    )
    return load(name, folder, "train")


# The photos of Cityscapes are PNG files, those of ADE20K JPEG.
@pytest.mark.parametrize("name", ["cityscapes", "ade20k"])
@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_bad_files_raise_with_path_and_remedy(name, corrupt, tmp_path):
    source = make(tmp_path, name, 2)
    path = corrupt(source, 0)
    with pytest.raises(ValueError, match="--skip-bad-files") as caught:
        source[0]
    assert str(path) in str(caught.value)
    assert source[1]["name"] == source.names[1]


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_truncated_files_raise_at_any_length(extension, tmp_path):
    """A truncated file never gives a partly decoded photo."""
    name = {"png": "cityscapes", "jpg": "ade20k"}[extension]
    source = make(tmp_path, name, 1)
    path = source.photo_paths[0]
    content = path.read_bytes()
    complete = source[0]["photo"]
    num_errors = 0
    for length in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(source[0]["photo"], complete)
        except ValueError as error:
            assert str(path) in str(error)
            num_errors += 1
    assert num_errors >= 39


def test_bad_records_are_replaced_by_the_next_and_reported(tmp_path):
    source = make(tmp_path)
    paths = [truncate_photo(source, 1), mislabel(source, 2)]
    paths.append(shrink_mask(source, 5))
    skipping = SkipBadFiles(source, tmp_path / "deep" / "bad.txt")
    assert len(skipping) == 6
    assert skipping.names == source.names
    assert skipping.classes == source.classes
    assert skipping.num_classes == 150
    assert skipping.ignore_label == 255
    assert read_report(skipping.report) == ()
    names = [skipping[index]["name"] for index in range(6)]
    expected = [source.names[index] for index in (0, 3, 3, 3, 4, 0)]
    assert names == expected
    assert skipping[-1]["name"] == source.names[0]
    report = read_report(skipping.report)
    assert [name for name, _ in report] == [
        source.names[index] for index in (1, 2, 5)
    ]
    for (_, reason), path in zip(report, paths, strict=True):
        assert str(path) in reason
    # The number and order of reads do not change the report.
    for index in (5, 2, 1, 0):
        SkipBadFiles(source, skipping.report)[index]
    assert read_report(skipping.report) == report


def test_good_records_are_unchanged(tmp_path):
    source = make(tmp_path, count=2)
    skipping = SkipBadFiles(source, tmp_path / "bad.txt", blank_masks=True)
    for index in range(2):
        for key in ("photo", "mask", "name"):
            np.testing.assert_array_equal(
                skipping[index][key], source[index][key]
            )


def test_blank_masks_ignore_replacements(tmp_path):
    source = make(tmp_path, count=3)
    truncate_photo(source, 1)
    skipping = SkipBadFiles(source, tmp_path / "bad.txt", blank_masks=True)
    assert (skipping[1]["mask"] == 255).all()
    assert (skipping[2]["mask"] < 255).any()
    np.testing.assert_array_equal(skipping[1]["photo"], skipping[2]["photo"])


def test_batches_and_report_do_not_depend_on_workers(tmp_path):
    source = make(tmp_path)
    truncate_photo(source, 1)
    truncate_mask(source, 4)
    results = []
    for workers in (0, 1):
        skipping = SkipBadFiles(source, tmp_path / f"bad_{workers}.txt")
        data = batches(
            skipping, 2, Augmentation((32, 32)), shuffle=True, workers=workers
        )
        results.append([batch for _ in range(2) for batch in data])
        data.close()
        report = read_report(skipping.report)
        assert sorted(name for name, _ in report) == [
            source.names[1], source.names[4],
        ]  # fmt: skip
    for (photos, masks), expected in zip(*results, strict=True):
        np.testing.assert_array_equal(photos, expected[0])
        np.testing.assert_array_equal(masks, expected[1])


def read_all(source):
    return [source[index]["name"] for index in range(len(source))]


def test_multiple_processes_report_each_file_once(tmp_path):
    source = make(tmp_path, count=12)
    for index in range(0, 12, 2):
        truncate_photo(source, index)
    skipping = SkipBadFiles(source, tmp_path / "bad.txt")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(read_all, [skipping] * 4, chunksize=1)
    assert all(result == results[0] for result in results)
    names = [name for name, _ in read_report(skipping.report)]
    assert sorted(names) == sorted(set(names)) == list(source.names[::2])


def test_sources_without_readable_records_raise(tmp_path):
    source = make(tmp_path, count=2)
    for index in range(2):
        truncate_photo(source, index)
    skipping = SkipBadFiles(source, tmp_path / "bad.txt")
    with pytest.raises(
        ValueError, match=r"2 of 2 are unreadable; see .*bad\.txt"
    ):
        skipping[0]


def test_out_of_range_indices_raise(tmp_path):
    skipping = SkipBadFiles(make(tmp_path, count=2), tmp_path / "bad.txt")
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"Received: index={index}"):
            skipping[index]


def test_sources_without_names(tmp_path):
    class Unnamed:
        classes, num_classes, ignore_label = ("a",), 1, 255

        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index == 0:
                raise OSError("the disk\nis gone")
            return {"photo": None, "mask": np.zeros(3), "name": "b"}

    skipping = SkipBadFiles(Unnamed(), tmp_path / "bad.txt")
    assert skipping[0]["name"] == "b"
    assert read_report(skipping.report) == (
        ("record 0", "the disk is gone"),
    )  # fmt: skip


def test_programming_errors_are_not_skipped(tmp_path):
    class Broken:
        classes, num_classes, ignore_label = ("a",), 1, 255

        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        SkipBadFiles(Broken(), tmp_path / "bad.txt")[0]


def test_unwritable_and_missing_reports_raise(tmp_path):
    source = make(tmp_path, count=2)
    with pytest.raises(ValueError, match="`report` must be a file that can"):
        SkipBadFiles(source, tmp_path)
    skipping = SkipBadFiles(source, tmp_path / "deep" / "bad.txt")
    truncate_photo(source, 0)
    os.remove(skipping.report)
    skipping.report.parent.rmdir()
    with pytest.raises(ValueError, match="`report` must be .*free space"):
        skipping[0]
    with pytest.raises(ValueError, match="`path` must be a report"):
        read_report(skipping.report)
