"""Resize the records of a source."""

import numpy as np

from gss_keras.data.transforms import fit_scale


class Resized:
    """Resize photos and masks of a source, preserving their aspect ratio.

    Photos use bilinear interpolation with antialiasing, masks
    nearest-neighbor interpolation.

    Args:
        source: A source, such as the return value of `gss_keras.data.load`.
        fit: Pair of ints, the upper limits in pixels of the longer and of
            the shorter side, see `gss_keras.data.transforms.fit_scale`.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.

    Example:
        >>> import tempfile
        >>> from gss_keras.data import Resized
        >>> from gss_keras.synthetic import streets
        >>> source = streets.draw(tempfile.mkdtemp() + "/streets", 1, seed=0)
        >>> height, width = source[0]["mask"].shape
        >>> half = Resized(source, (width // 2, height // 2))
        >>> half[0]["photo"].shape == (height // 2, width // 2, 3)
        True
    """

    def __init__(self, source, fit):
        self.source = source
        self.fit = fit
        self.classes = source.classes
        self.num_classes = source.num_classes
        self.ignore_label = source.ignore_label

    def __len__(self):
        """Return the number of records."""
        return len(self.source)

    def __getitem__(self, index):
        """Read and resize one record, see `PairedFiles`."""
        from PIL import Image

        record = self.source[index]
        height, width = record["mask"].shape
        scale = fit_scale((height, width), self.fit)
        size = tuple(max(1, round(side * scale)) for side in (width, height))
        photo = Image.fromarray(record["photo"]).resize(
            size, Image.Resampling.BILINEAR
        )
        mask = Image.fromarray(record["mask"].astype("int32")).resize(
            size, Image.Resampling.NEAREST
        )
        return record | {
            "photo": np.array(photo),
            "mask": np.array(mask).astype("int32"),
        }
