r"""Create `taxonomy.json` from the label tables of MSeg.

    python gss_keras/data/mseg/make_taxonomy.py \
        --table MSeg_master.tsv --names names --output taxonomy.json

`MSeg_master.tsv` has one row per universal class and one column per data set.
A cell of a training set names the class that equals the row's universal class;
one of a test set names the class that includes it. `names/<data set>.txt`
lists the classes of a data set in the order of the ids in its files, one per
line. Both come from https://github.com/mseg-dataset/mseg-api.
"""

import csv
import json
from pathlib import Path

_UNLABELED = "unlabeled"
_IGNORE = 255

# In the order of the training records and of the reported results.
TRAINING_SETS = (
    "ade20k-150-relabeled",
    "bdd-relabeled",
    "cityscapes-19-relabeled",
    "coco-panoptic-133-relabeled",
    "idd-39-relabeled",
    "mapillary-public65-relabeled",
    "sunrgbd-37-relabeled",
)
TEST_SETS = (
    "voc2012",
    "pascal-context-60",
    "camvid-11",
    "wilddash-19",
    "kitti-19",
    "scannet-20",
)


def make(table: Path, names: Path, output: Path):
    """Write the taxonomy as JSON.

    Args:
        table: Path of `MSeg_master.tsv`.
        names: Path of the folder of class lists.
        output: Path of the JSON file to write. It contains `"universal"`, the
            names of the universal classes; `"classes"`, for each data set its
            class names in the order of their ids; `"to_universal"`, for each
            training set the universal id of each of its classes, 255 for
            unlabeled; `"takes_in"`, for each test set and each of its classes
            the universal ids that it includes.

    Raises:
        ValueError: If a cell names a class that is not in the data set's list,
            or if a training class does not have exactly one universal class.
    """
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(
            csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        )
    universal = [row["universal"].strip() for row in rows]
    universal.remove(_UNLABELED)
    ids = {name: index for index, name in enumerate(universal)}
    ids[_UNLABELED] = _IGNORE
    taxonomy = {
        "universal": universal,
        "classes": {},
        "to_universal": {},
        "takes_in": {},
    }
    for data_set in TRAINING_SETS + TEST_SETS:
        classes = _read_names(names / f"{data_set}.txt")
        universal_ids = _read_column(rows, data_set, classes, ids)
        taxonomy["classes"][data_set] = classes
        if data_set in TEST_SETS:
            taxonomy["takes_in"][data_set] = universal_ids
            continue
        for name, matches in zip(classes, universal_ids, strict=True):
            if len(matches) != 1:
                raise ValueError(
                    "`table` must assign exactly one universal class to every "
                    f"training class. Received: {len(matches)} for {name!r} "
                    f"of {data_set}"
                )
        taxonomy["to_universal"][data_set] = [
            matches[0] for matches in universal_ids
        ]
    output.write_text(_dumps(taxonomy), encoding="utf-8")


def _read_names(path):
    """Read class names, one per line; they may contain commas."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _read_column(rows, data_set, classes, ids):
    """Return, for each class of a data set, the universal ids of its rows."""
    universal_ids = [[] for _ in classes]
    for row in rows:
        name = row[data_set].strip()
        if name and name not in classes:
            raise ValueError(
                f"`table` must only name classes in {data_set}'s list. "
                f"Received: {name!r} in the row of {row['universal']!r}"
            )
        if name:
            universal_id = ids[row["universal"].strip()]
            universal_ids[classes.index(name)].append(universal_id)
    return universal_ids


def _dumps(taxonomy):
    """Serialize to JSON with one line per data set."""
    parts = [f'"universal": {json.dumps(taxonomy["universal"])}']
    for key in ("classes", "to_universal", "takes_in"):
        lists = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(values)}"
            for name, values in taxonomy[key].items()
        )
        parts.append(f'"{key}": {{\n{lists}\n }}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    import tyro

    tyro.cli(make)
