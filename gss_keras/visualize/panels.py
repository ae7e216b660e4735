"""Put photo, maskige and masks side by side in one picture."""

import numpy as np
from keras import ops

from gss_keras.maskige import palettes
from gss_keras.visualize.legends import legend, stack
from gss_keras.visualize.pictures import as_uint8, font, paint

_GAP = 6
_CAPTION, _TEXT = 24, 14
_INK = (33, 33, 33)
_IGNORED = (128, 128, 128)
_WRONG = (255, 0, 0)


def panel(rows, captions, notes=None):
    """Arrange pictures in rows, with a caption over each column.

    Args:
        rows: List of rows, each a list of pictures of one size: uint8 arrays
            `(height, width, 3)`, or float arrays in [0, 1].
        captions: One string for each column.
        notes: One string for each row, to stand below its last picture.

    Returns:
        Uint8 array of shape `(panel_height, panel_width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    pictures = [[as_uint8(picture) for picture in row] for row in rows]
    below = _CAPTION if notes else 0
    height = sum(row[0].shape[0] + _GAP + below for row in pictures) - _GAP
    width = sum(picture.shape[1] + _GAP for picture in pictures[0]) - _GAP
    canvas = Image.new("RGB", (width, height + _CAPTION), "white")
    draw, letters = ImageDraw.Draw(canvas), font(_TEXT)
    top = _CAPTION
    for index, row in enumerate(pictures):
        left = 0
        for caption, picture in zip(captions, row, strict=True):
            canvas.paste(Image.fromarray(picture), (left, top))
            if index == 0:
                place = (left + 2, _CAPTION // 2)
                draw.text(place, caption, _INK, letters, anchor="lm")
            left += picture.shape[1] + _GAP
        top += row[0].shape[0] + below + _GAP
        if notes:
            place = (width - 2, top - _GAP - _CAPTION // 2)
            draw.text(place, notes[index], _INK, letters, anchor="rm")
    return np.asarray(canvas)


def segmentation_panel(segmenter, photos, masks):
    """Show how a segmenter comes to its masks, one row for each photo.

    The columns: photo, the maskige decoded from the predicted tokens, the
    mask read from it, the true mask. A legend below names the classes that
    occur, where the segmenter knows their names.

    Args:
        segmenter: A `GenerativeSegmenter`.
        photos: Uint8 array of shape `(batch, height, width, 3)`.
        masks: Int array of shape `(batch, height, width)`.

    Returns:
        Uint8 picture, see `panel`.
    """
    height, width = photos.shape[1:3]
    scale = segmenter.posterior.mask_scale
    palette = segmenter.posterior.palette
    maskiges = segmenter.predict_maskiges(photos)
    maskiges = maskiges[:, ::scale, ::scale][:, :height, :width]
    predicted = segmenter.predict(photos)
    rows = [
        [photo, maskige, paint(guess, palette), paint(truth, palette, _IGNORED)]
        for photo, maskige, guess, truth in zip(
            photos, maskiges, predicted, masks, strict=True
        )
    ]
    picture = panel(rows, ["photo", "decoded maskige", "mask", "truth"])
    return _with_legend(picture, segmenter, palette, [predicted, masks])


def reconstruction_panel(posterior, masks):
    """Show what tokens make of masks, one row for each mask.

    The columns: mask, maskige (the mask painted with the posterior's colors),
    the maskige decoded from its tokens, the mask read from that, and the
    pixels that came back wrong, in red. Below each row stands the share of
    labeled pixels that came back right.

    Args:
        posterior: A `LatentPosterior`.
        masks: Int array of shape `(batch, height, width)`.

    Returns:
        Uint8 picture, see `panel`.
    """
    height, width = masks.shape[1:]
    scale, palette = posterior.mask_scale, posterior.palette
    # Colors for the eye, which must be told apart by people.
    shown = palettes.maximal_distance(posterior.num_classes)
    decoded = posterior.tokenizer.decode(posterior.encode(masks))
    decoded = ops.convert_to_numpy(decoded)[:, ::scale, ::scale]
    decoded = decoded[:, :height, :width]
    answers = posterior.predict(masks, verbose=0).argmax(axis=-1)
    ignore_color = posterior.mapping.ignore_color
    rows, notes = [], []
    for mask, maskige, answer in zip(masks, decoded, answers, strict=True):
        is_labeled = mask < posterior.num_classes
        is_wrong = (mask != answer) & is_labeled
        truth, answer = paint(mask, shown, _IGNORED), paint(answer, shown)
        errors = truth // 3
        errors[is_wrong] = _WRONG
        painted = paint(mask, palette, ignore_color)
        rows.append([truth, painted, maskige, answer, errors])
        right = 1 - is_wrong.sum() / max(is_labeled.sum(), 1)
        notes.append(f"{100 * right:.2f} % right")
    captions = ["mask", "maskige", "decoded", "reconstructed", "errors"]
    picture = panel(rows, captions, notes)
    return _with_legend(picture, posterior, shown, [masks])


def _with_legend(picture, model, palette, masks):
    if model.classes is None:
        return picture
    ids = np.unique(np.concatenate([np.ravel(mask) for mask in masks]))
    width = picture.shape[1]
    return stack(picture, legend(palette, model.classes, width, ids))
