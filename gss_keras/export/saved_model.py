"""Write a SavedModel, with warmup requests and batching parameters."""

import pathlib

import keras
import numpy as np
from keras import ops

from gss_keras.ops.backend import assert_shape, write_records

# Where TensorFlow Serving looks for them in the folder of a version.
_WARMUP = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
_BATCHING = "batching_params.pbtxt"
# How long a request waits for others to form a batch. Segmenting even a small
# photo takes longer than this.
_BATCH_TIMEOUT_MICROS = 5000
# The number of `DT_UINT8` in TensorFlow's `types.proto`.
_UINT8 = 4


def write_saved_model(segmenter, folder, settings, is_for_onnx=False):
    """Write a SavedModel with the TensorFlow backend.

    Its signature takes `photos`, uint8 `(batch, height, width, 3)`, and
    returns the outputs of the settings. It needs no Python code.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        folder: Path of an empty folder.
        settings: A `Settings`.
        is_for_onnx: Whether it will be converted to ONNX, which has no
            assertions; its runtimes check shapes themselves.
    """
    folder = pathlib.Path(folder)

    def serve(photos):
        if not is_for_onnx:
            photos = assert_shape(_requirements(settings), photos)
        window = settings.window or "whole"
        return segmenter.infer(
            photos, settings.outputs, window, settings.stride
        )

    photos = keras.InputSpec("uint8", settings.input_shape, name="photos")
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", serve, input_signature=[photos])
    archive.write_out(str(folder), verbose=False)
    if settings.warmup_sizes:
        (folder / _WARMUP).parent.mkdir(exist_ok=True)
        write_records(folder / _WARMUP, _warmup_requests(settings))
    if settings.max_batch_size:
        (folder / _BATCHING).write_text(_batching(settings))


def _requirements(settings):
    """Return the requirements on a batch of photos, see `assert_shape`."""

    def requirements(shape):
        # The first requirement is evaluated for shapes of any rank.
        padded = ops.pad(shape, [[0, 4]], constant_values=-1)
        batch, height, width, channels = ops.unstack(padded[:4], 4)
        pixels = batch * height * width
        yield (
            ops.equal(channels, 3),
            "`photos` must be RGB with shape (batch, height, width, 3). "
            "Convert gray photos to RGB and drop alpha channels. Received "
            "shape:",
        )
        yield (
            ops.greater(pixels, 0),
            "`photos` must hold at least one photo with at least one pixel. "
            "Received shape:",
        )
        if settings.size:
            high, wide = settings.size
            yield (
                ops.logical_and(
                    ops.equal(height, high), ops.equal(width, wide)
                ),
                f"`photos` must be {high} pixels high and {wide} wide, as "
                "this model was exported. Received shape:",
            )
        if settings.max_pixels:
            yield (
                ops.less_equal(pixels, settings.max_pixels),
                f"`photos` must have at most {settings.max_pixels} pixels "
                "(batch * height * width), as this model was exported. "
                "Received shape:",
            )

    return requirements


def _warmup_requests(settings):
    from tensorflow_serving.apis import prediction_log_pb2

    for height, width in settings.warmup_sizes:
        photos = np.zeros((1, height, width, 3), "uint8")
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = "serving_default"
        tensor = request.inputs["photos"]
        tensor.dtype = _UINT8
        for side in photos.shape:
            tensor.tensor_shape.dim.add(size=side)
        tensor.tensor_content = photos.tobytes()
        yield log.SerializeToString()


def _batching(settings):
    return (
        f"max_batch_size {{ value: {settings.max_batch_size} }}\n"
        f"batch_timeout_micros {{ value: {_BATCH_TIMEOUT_MICROS} }}\n"
    )
