import pickle
import shutil

import numpy as np
import pytest

from gss_keras.data import Cityscapes, batches, load
from gss_keras.data.tfds import TfdsCityscapes
from gss_keras.synthetic import miniature

pytestmark = [
    pytest.mark.any_backend,
    # Raised by TensorFlow Datasets and its dependencies.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An unpacked miniature, and its archives in TFDS' manual folder."""
    pytest.importorskip(
        "tensorflow_datasets", reason="needs TensorFlow Datasets"
    )
    pytest.importorskip("array_record", reason="needs array_record")
    pytest.importorskip("tensorflow", reason="TFDS prepares with TensorFlow")
    root = tmp_path_factory.mktemp("tfds")
    files = miniature.write("cityscapes", root / "files", size=(32, 64))
    for name, archive in (
        ("leftImg8bit", "leftImg8bit_trainvaltest"),
        ("gtFine", "gtFine_trainvaltest"),
    ):
        shutil.make_archive(
            root / "tfds" / "downloads" / "manual" / archive,
            "zip",
            files,
            name,
        )
    return files, root / "tfds"


@pytest.mark.parametrize("split", SPLITS)
def test_records_equal_those_of_the_files_reader(folders, split):
    files, data_dir = folders
    expected = Cityscapes(files, split)
    source = load("cityscapes", data_dir, split, reader="tfds")
    assert len(source) == len(expected)
    assert source.classes == expected.classes
    assert sorted(source.names) == list(expected.names)
    for index, name in enumerate(source.names):
        record = source[index]
        expected_record = expected[expected.names.index(name)]
        assert record["name"] == name
        assert record["mask"].dtype == np.int32
        assert record["photo"].dtype == np.uint8
        for key in ("photo", "mask"):
            np.testing.assert_array_equal(record[key], expected_record[key])


def test_is_picklable(folders):
    source = TfdsCityscapes(folders[1], "train")
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[1]["photo"], source[1]["photo"])
    sequential = batches(source, 2, shuffle=True)
    parallel = batches(source, 2, shuffle=True, workers=1)
    for (photos, masks), expected in zip(parallel, sequential, strict=True):
        np.testing.assert_array_equal(photos, expected[0])
        np.testing.assert_array_equal(masks, expected[1])
    parallel.close()


def test_iteration_ends_after_the_last_record(folders):
    source = TfdsCityscapes(folders[1], "val")
    assert len(list(source)) == len(source) == 2
    with pytest.raises(IndexError, match="below 2. Received: index=2"):
        source[2]


def test_missing_archives_raise(folders, tmp_path):
    with pytest.raises(
        ValueError, match=r"missing: leftImg8bit.*zip, gtFine.*zip\. Get them"
    ):
        TfdsCityscapes(tmp_path, "train")
    with pytest.raises(ValueError, match="`split` of cityscapes must be"):
        TfdsCityscapes(folders[1], "validation")
