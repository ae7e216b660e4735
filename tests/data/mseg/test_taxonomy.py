"""The taxonomy, compared with MSeg's own tables and with known properties."""

import os
import pathlib

import numpy as np
import pytest
from keras import ops

from gss_keras.data import mseg
from gss_keras.data.mseg import make_taxonomy

TABLES = pathlib.Path(
    os.environ.get(
        "MSEG_TABLES",
        pathlib.Path(__file__).parents[4] / "shared" / "reference" / "mseg",
    )
)
SIZES = {
    "voc2012": 21,
    "pascal-context-60": 60,
    "camvid-11": 11,
    "wilddash-19": 19,
    "kitti-19": 19,
    "scannet-20": 20,
}

any_backend = pytest.mark.any_backend


@pytest.fixture(scope="module")
def cells():
    """Dict from (data set, universal name) to cell, parsed without `csv`."""
    path = TABLES / "MSeg_master.tsv"
    if not path.is_file():
        pytest.skip(
            "needs MSeg_master.tsv and names/ of MSeg in the folder that "
            "MSEG_TABLES names"
        )
    head, *rows = path.read_bytes().rstrip(b"\r\n").split(b"\r\n")
    columns = head.decode().split("\t")
    parsed = {}
    for row in rows:
        values = row.decode().split("\t")
        assert len(values) == len(columns)
        universal = values[columns.index("universal")]
        for column, value in zip(columns, values, strict=True):
            parsed[column, universal] = value
    return parsed


def names_of(data_set):
    text = (TABLES / "names" / f"{data_set}.txt").read_bytes().decode()
    return [name for name in text.replace("\r", "").split("\n") if name]


def universal_names(cells):
    """Universal class names in the order of the rows."""
    return list(dict.fromkeys(universal for _, universal in cells))


@any_backend
def test_universal_classes_match_the_rows(cells):
    names = universal_names(cells)
    assert len(names) == 195
    assert names.pop() == "unlabeled"
    assert mseg.UNIVERSAL_CLASSES == tuple(names)


@any_backend
@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize("data_set", mseg.TRAINING_SETS + mseg.TEST_SETS)
def test_class_names_match_the_lists(data_set):
    assert mseg.class_names(data_set) == tuple(names_of(data_set))


@any_backend
@pytest.mark.parametrize("training_set", mseg.TRAINING_SETS)
def test_training_ids_map_to_their_rows(training_set, cells):
    table = mseg.to_universal(training_set)
    rows = universal_names(cells)
    classes = names_of(training_set)
    for index, name in enumerate(classes):
        matches = [
            row
            for row in rows
            if name in cells[training_set, row].strip("{}").split(", ")
        ]
        assert len(matches) == 1
        # Row 194, the last one, is "unlabeled".
        assert table[index] == rows.index(matches[0]) < 194
    assert table[255] == 255
    others = np.delete(np.arange(65536), [*range(len(classes)), 255])
    assert set(table[others]) == {-1}


@any_backend
@pytest.mark.parametrize("test_set", mseg.TEST_SETS)
def test_universal_ids_map_to_the_class_in_their_row(test_set, cells):
    classes = names_of(test_set)
    table = mseg.universal_to(test_set, unmapped=255)
    published = mseg.universal_to(test_set)
    matrix = mseg.universal_matrix(test_set)
    assert matrix.shape == (194, SIZES[test_set])
    assert matrix.sum() == (table < 255).sum()
    for index, universal in enumerate(mseg.UNIVERSAL_CLASSES):
        cell = cells[test_set, universal]
        if cell:
            assert classes[table[index]] == cell
            assert published[index] == table[index]
            assert matrix[index, table[index]] == 1
        else:
            assert (table[index], published[index]) == (255, 0)
            assert not matrix[index].any()
    assert cells[test_set, "unlabeled"] == ""


@any_backend
@pytest.mark.usefixtures("cells")
def test_taxonomy_file_matches_the_output_of_the_script(tmp_path):
    output = tmp_path / "taxonomy.json"
    table = TABLES / "MSeg_master.tsv"
    make_taxonomy.make(table, TABLES / "names", output)
    bundled = pathlib.Path(make_taxonomy.__file__).with_name("taxonomy.json")
    assert output.read_text() == bundled.read_text()


@any_backend
@pytest.mark.parametrize(
    "data_set, number, name, universal",
    [
        # Stated in the README of MSeg.
        ("idd-39-relabeled", 19, "road", 98),
        ("cityscapes-19-relabeled", 11, "road", 98),
        # The class order of the published models' palettes and heads.
        ("coco-panoptic-133-relabeled", 4, "backpack", 0),
        ("ade20k-150-relabeled", 138, "window_blind", 193),
    ],
)
def test_independently_published_ids(data_set, number, name, universal):
    assert mseg.class_names(data_set)[number] == name
    assert mseg.UNIVERSAL_CLASSES[universal] == name
    assert mseg.to_universal(data_set)[number] == universal


@any_backend
def test_training_and_universal_classes_have_equal_names():
    for training_set in mseg.TRAINING_SETS:
        classes = mseg.class_names(training_set)
        ids = mseg.to_universal(training_set)[: len(classes)]
        assert tuple(mseg.UNIVERSAL_CLASSES[i] for i in ids) == classes


@any_backend
def test_every_universal_class_is_in_a_training_set():
    ids = [mseg.to_universal(name) for name in mseg.TRAINING_SETS]
    ids = set(np.concatenate(ids).tolist()) - {-1, 255}
    assert ids == set(range(194))


@any_backend
@pytest.mark.parametrize("test_set", mseg.TEST_SETS)
def test_test_classes_have_universal_classes(test_set):
    matrix = mseg.universal_matrix(test_set)
    assert matrix.shape[1] == SIZES[test_set]
    classes = mseg.class_names(test_set)
    unmapped = {classes[i] for i in np.flatnonzero(~matrix.any(axis=0))}
    expected = {"flower", "wood"} if test_set == "pascal-context-60" else set()
    assert unmapped == expected
    assert matrix.sum(axis=1).max() == 1
    # A background class includes all remaining universal classes.
    assert matrix.any(axis=1).all() == ("background" in classes)


@any_backend
def test_camvid_classes_are_ordered_differently():
    from gss_keras.data import CamVid

    names = [name.lower() for name in mseg.class_names("camvid-11")]
    assert names.index("sky") != CamVid.class_names.index("sky")


@any_backend
@pytest.mark.parametrize("training_set", mseg.TRAINING_SETS)
def test_universal_mapping_is_invertible(training_set):
    count = len(mseg.class_names(training_set))
    table = mseg.to_universal(training_set)
    mask = np.random.default_rng(0).integers(0, count, (8, 9))
    mask[0] = 255
    universal = table[mask]
    inverse = np.full(256, -1)
    inverse[table[:count]] = np.arange(count)
    inverse[255] = 255
    np.testing.assert_array_equal(inverse[universal], mask)


@any_backend
@pytest.mark.parametrize("test_set", mseg.TEST_SETS)
def test_universal_classes_of_a_test_class_map_to_it(test_set):
    matrix = mseg.universal_matrix(test_set)
    for index in np.flatnonzero(matrix.any(axis=0)):
        members = np.flatnonzero(matrix[:, index])
        mapped = mseg.map_predictions(members, test_set)
        assert set(mapped.tolist()) == {index}


def test_numpy_and_tensor_predictions_map_equally():
    generator = np.random.default_rng(0)
    predictions = generator.integers(0, 194, (2, 5, 7)).astype("int32")
    for unmapped in (0, 255):
        array = mseg.map_predictions(predictions, "kitti-19", unmapped)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.int32
        tensor = ops.convert_to_tensor(predictions)
        tensor = mseg.map_predictions(tensor, "kitti-19", unmapped)
        assert ops.is_tensor(tensor)
        np.testing.assert_array_equal(ops.convert_to_numpy(tensor), array)


@pytest.mark.parametrize("test_set", mseg.TEST_SETS)
def test_mapping_equals_the_published_computation(test_set):
    """One-hot argmax, matrix product, argmax."""
    scores = np.random.default_rng(0).normal(size=(300, 194))
    one_hot = np.eye(194)[scores.argmax(axis=1)]
    expected = (one_hot @ mseg.universal_matrix(test_set)).argmax(axis=1)
    mapped = mseg.map_predictions(scores.argmax(axis=1), test_set)
    np.testing.assert_array_equal(mapped, expected)


def test_probabilities_are_summed():
    names = mseg.UNIVERSAL_CLASSES
    probabilities = np.zeros((2, 194), "float32")
    probabilities[0, [names.index("armchair"), names.index("stool")]] = 0.3
    probabilities[0, names.index("couch")] = 0.4
    probabilities[1, names.index("couch")] = 1
    classes = mseg.class_names("voc2012")
    expected = np.zeros((2, 21))
    expected[0, classes.index("chair")] = 0.6
    expected[0, classes.index("sofa")] = 0.4
    expected[1, classes.index("sofa")] = 1
    for given in (probabilities, ops.convert_to_tensor(probabilities)):
        mapped = mseg.map_probabilities(given, "voc2012")
        mapped = ops.convert_to_numpy(mapped)
        np.testing.assert_allclose(mapped, expected, atol=1e-6)
    # Mapping the argmax instead makes the first row a sofa.
    argmax = mseg.map_predictions(probabilities.argmax(axis=1), "voc2012")
    assert [classes[i] for i in argmax] == ["sofa", "sofa"]


@any_backend
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mseg.to_universal("voc2012"), "`training_set` must be one of"),
        (
            lambda: mseg.to_universal("bdd"),
            "Received: training_set='bdd'. Did you mean 'bdd-relabeled'",
        ),
        (lambda: mseg.class_names("mseg"), "`data_set` must be one of"),
        (
            lambda: mseg.universal_to("camvid"),
            "`test_set` must be one of voc2012.*mean 'camvid-11'",
        ),
        (
            lambda: mseg.map_predictions(np.array([3, 194, 255]), "voc2012"),
            "ids from 0 to 193.*Received: 194, 255",
        ),
        (
            lambda: mseg.map_probabilities(np.ones((2, 195)), "voc2012"),
            r"last axis of 194.*Received: probabilities.shape=\(2, 195\)",
        ),
    ],
)
def test_invalid_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@any_backend
@pytest.mark.parametrize(
    "old, new, message",
    [
        ("\ttree\t", "\tbush\t", "'bush' in the row of 'vegetation'"),
        ("\ttree\t", "\t\t", "Received: 0 for 'tree' of "),
        ("\tsky\t", "\ttree\t", "Received: 2 for 'tree' of "),
    ],
)
def test_the_script_raises_for_invalid_tables(old, new, message, tmp_path):
    columns = [*mseg.TRAINING_SETS, "universal", *mseg.TEST_SETS]
    rows = [
        "\t".join(columns),
        "\t".join(["tree"] * 7 + ["vegetation"] + ["tree"] * 6),
        "\t".join(["sky"] * 7 + ["sky"] + [""] * 6),
        "\t".join([""] * 7 + ["unlabeled"] + [""] * 6),
    ]
    table = tmp_path / "table.tsv"
    for data_set in (*mseg.TRAINING_SETS, *mseg.TEST_SETS):
        (tmp_path / f"{data_set}.txt").write_text("tree\r\nsky\r\n")
    table.write_text("\r\n".join(rows))
    make_taxonomy.make(table, tmp_path, tmp_path / "fine.json")
    table.write_text("\r\n".join(rows).replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        make_taxonomy.make(table, tmp_path, tmp_path / "bad.json")
    assert not (tmp_path / "bad.json").exists()
