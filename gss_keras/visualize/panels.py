"""Image grids of photos, maskiges and masks."""

import numpy as np
from keras import ops

from gss_keras.maskige import palettes
from gss_keras.visualize.legends import legend, stack
from gss_keras.visualize.pictures import as_uint8, font, paint

_GAP = 6
_CAPTION, _TEXT = 24, 14
_TEXT_COLOR = (33, 33, 33)
_IGNORED = (128, 128, 128)
_WRONG = (255, 0, 0)


def panel(rows, captions, notes=None):
    """Arrange images in a grid with column captions.

    Args:
        rows: List of rows, each a list of images of the same size: uint8
            arrays `(height, width, 3)`, or float arrays in [0, 1].
        captions: One string per column.
        notes: One string per row, shown below its last image.

    Returns:
        Uint8 array of shape `(panel_height, panel_width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    grid = [[as_uint8(image) for image in row] for row in rows]
    note_height = _CAPTION if notes else 0
    height = sum(row[0].shape[0] + _GAP + note_height for row in grid) - _GAP
    width = sum(image.shape[1] + _GAP for image in grid[0]) - _GAP
    canvas = Image.new("RGB", (width, height + _CAPTION), "white")
    draw, text_font = ImageDraw.Draw(canvas), font(_TEXT)
    top = _CAPTION
    for index, row in enumerate(grid):
        left = 0
        for caption, image in zip(captions, row, strict=True):
            canvas.paste(Image.fromarray(image), (left, top))
            if index == 0:
                position = (left + 2, _CAPTION // 2)
                draw.text(
                    position, caption, _TEXT_COLOR, text_font, anchor="lm"
                )
            left += image.shape[1] + _GAP
        top += row[0].shape[0] + note_height + _GAP
        if notes:
            position = (width - 2, top - _GAP - _CAPTION // 2)
            draw.text(
                position, notes[index], _TEXT_COLOR, text_font, anchor="rm"
            )
    return np.asarray(canvas)


def segmentation_panel(segmenter, photos, masks):
    """Visualize the predictions of a segmenter, one row per photo.

    The columns are the photo, the maskige decoded from the predicted tokens,
    the predicted mask and the ground truth. If the segmenter has class names,
    a legend of the classes that occur is added below.

    Args:
        segmenter: A `GenerativeSegmenter`.
        photos: Uint8 array of shape `(batch, height, width, 3)`.
        masks: Int array of shape `(batch, height, width)`.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255, see `panel`.
    """
    height, width = photos.shape[1:3]
    scale = segmenter.posterior.mask_scale
    palette = segmenter.posterior.palette
    maskiges = segmenter.predict_maskiges(photos)
    maskiges = maskiges[:, ::scale, ::scale][:, :height, :width]
    predicted = segmenter.predict(photos)
    rows = [
        [
            photo,
            maskige,
            paint(prediction, palette),
            paint(truth, palette, _IGNORED),
        ]
        for photo, maskige, prediction, truth in zip(
            photos, maskiges, predicted, masks, strict=True
        )
    ]
    captions = ["photo", "decoded maskige", "prediction", "ground truth"]
    image = panel(rows, captions)
    return _with_legend(image, segmenter, palette, [predicted, masks])


def reconstruction_panel(posterior, masks):
    """Visualize the reconstruction of masks, one row per mask.

    The columns are the mask, the maskige (the mask painted with the
    posterior's palette), the maskige decoded from its tokens, the
    reconstructed mask, and the wrong pixels in red. Below each row is the
    accuracy over its labeled pixels.

    Args:
        posterior: A `LatentPosterior`.
        masks: Int array of shape `(batch, height, width)`.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255, see `panel`.
    """
    height, width = masks.shape[1:]
    scale, palette = posterior.mask_scale, posterior.palette
    # The posterior's palette may have colors that are hard to distinguish.
    distinct = palettes.maximal_distance(posterior.num_classes)
    decoded = posterior.tokenizer.decode(posterior.encode(masks))
    decoded = ops.convert_to_numpy(decoded)[:, ::scale, ::scale]
    decoded = decoded[:, :height, :width]
    reconstructions = posterior.predict(masks, verbose=0).argmax(axis=-1)
    ignore_color = posterior.mapping.ignore_color
    rows, notes = [], []
    for mask, decoded_maskige, reconstruction in zip(
        masks, decoded, reconstructions, strict=True
    ):
        is_labeled = mask < posterior.num_classes
        is_wrong = (mask != reconstruction) & is_labeled
        truth = paint(mask, distinct, _IGNORED)
        errors = truth // 3
        errors[is_wrong] = _WRONG
        maskige = paint(mask, palette, ignore_color)
        reconstructed = paint(reconstruction, distinct)
        rows.append([truth, maskige, decoded_maskige, reconstructed, errors])
        accuracy = 1 - is_wrong.sum() / max(is_labeled.sum(), 1)
        notes.append(f"accuracy {100 * accuracy:.2f} %")
    captions = ["mask", "maskige", "decoded", "reconstructed", "errors"]
    image = panel(rows, captions, notes)
    return _with_legend(image, posterior, distinct, [masks])


def _with_legend(image, model, palette, masks):
    if model.classes is None:
        return image
    ids = np.unique(np.concatenate([np.ravel(mask) for mask in masks]))
    width = image.shape[1]
    return stack(image, legend(palette, model.classes, width, ids))
