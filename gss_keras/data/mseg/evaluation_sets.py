"""The six test sets of MSeg, disjoint from its training sets."""

from gss_keras.data.files import id_table
from gss_keras.data.mseg.files import LayoutFiles, find_list
from gss_keras.data.mseg.layouts import SCRIPTS, layout_of
from gss_keras.data.mseg.taxonomy import class_names, universal_to


class MSegTestSet(LayoutFiles):
    """Read one MSeg test set with its own classes.

    | name | photos | classes |
    |---|---|---|
    | `voc2012` | 1449 | 21 |
    | `pascal-context-60` | 5105 | 60 |
    | `camvid-11` | 101 | 11 |
    | `wilddash-19` | 70 | 19 |
    | `kitti-19` | 50 | 19 |
    | `scannet-20` | 5436 | 20 |

    Most of the folders contain further photos, so MSeg's lists are required.
    The classes of `camvid-11` are ordered differently from those of
    `gss_keras.data.CamVid`.

    Args:
        name: One of `TEST_SETS`, such as `"voc2012"`.
        data_dir: Path of the folder of all data sets, as downloaded and
            prepared by MSeg's scripts.
        lists: Path of MSeg's folder `dataset_lists`, by default the one in
            `data_dir`. Its `<name>/list/val.txt` lists the photos to read.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the records' names: paths relative to the photo
            folder, without suffix.
        universal_to: int32 array `(194,)`: the class id of each universal
            class, see the function `universal_to`.

    Raises:
        ValueError: If `name` is unknown, if a folder or the list is missing,
            or if a photo has no mask. See `gss_keras.data.PairedFiles` for
            errors in single files.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = tempfile.mkdtemp() + "/mseg"
        >>> folder = miniature.write("mseg-camvid-11", folder)
        >>> source = MSegTestSet("camvid-11", folder)
        >>> source.classes[:3], source.names
        (('Building', 'Tree', 'Sky'), ('0016E5_07959', '0016E5_07961'))
    """

    def __init__(self, name, data_dir, lists=None):
        self.universal_to = universal_to(name)
        classes = class_names(name)
        layout = layout_of(name, "val")
        list_path = find_list(data_dir, lists, name, "val")
        if list_path is None and not layout.is_whole:
            where = f"lists={lists!r}" if lists else f"data_dir={data_dir!s}"
            raise ValueError(
                f"`lists` must contain {name}/list/val.txt, because the "
                "folders of this data set contain more than the test photos. "
                f"Copy `mseg/dataset_lists` from {SCRIPTS} to `data_dir`. "
                f"Received: {where}, without this file"
            )
        super().__init__(
            layout,
            data_dir,
            list_path,
            classes,
            id_table(len(classes), ()),
        )
