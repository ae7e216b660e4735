"""Put photo, maskige and masks side by side in one picture."""

import pathlib

import numpy as np
from keras import ops

from gss_keras.maskige import palettes

_GAP = 4
_CAPTION = 18
_TILE = 88
_IGNORED = (128, 128, 128)


def paint(mask, palette, ignore_color=(0, 0, 0)):
    """Paint a mask with the colors of its classes, for the eye.

    Args:
        mask: Int array of shape `(height, width)`; ids outside the palette,
            255 among them, get the `ignore_color`.
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        ignore_color: RGB 0-255.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.

    Example:
        >>> paint([[1, 255]], [[9, 9, 9], [255, 0, 0]]).tolist()
        [[[255, 0, 0], [0, 0, 0]]]
    """
    colors = np.vstack([palette, [ignore_color]]).astype("uint8")
    mask = np.asarray(mask).astype(int)  # -1 does not fit a uint8
    return colors[np.where((mask >= 0) & (mask < len(palette)), mask, -1)]


def overlay(photo, mask, palette, opacity=0.5):
    """Lay a painted mask over its photo.

    Args:
        photo: Array of shape `(height, width, 3)`, RGB 0-255.
        mask: Int array of shape `(height, width)`.
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        opacity: Weight of the mask, from 0 to 1.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    photo = np.asarray(photo, "float32")
    mixed = (1 - opacity) * photo + opacity * paint(mask, palette)
    return mixed.round().astype("uint8")


def panel(rows, captions):
    """Arrange pictures in rows, with a caption over each column.

    Args:
        rows: List of rows, each a list of pictures of one size: uint8 arrays
            `(height, width, 3)`, or float arrays in [0, 1].
        captions: One string for each column.

    Returns:
        Uint8 array of shape `(panel_height, panel_width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    pictures = [[_as_uint8(picture) for picture in row] for row in rows]
    height = sum(row[0].shape[0] + _GAP for row in pictures) - _GAP
    width = sum(picture.shape[1] + _GAP for picture in pictures[0]) - _GAP
    canvas = Image.new("RGB", (width, height + _CAPTION), "white")
    draw = ImageDraw.Draw(canvas)
    top = _CAPTION
    for index, row in enumerate(pictures):
        left = 0
        for caption, picture in zip(captions, row, strict=True):
            canvas.paste(Image.fromarray(picture), (left, top))
            if index == 0:
                draw.text((left + 2, 2), caption, fill="black")
            left += picture.shape[1] + _GAP
        top += row[0].shape[0] + _GAP
    return np.asarray(canvas)


def segmentation_panel(segmenter, photos, masks):
    """Show how a segmenter comes to its masks, one row for each photo.

    The columns: photo, the maskige decoded from the predicted tokens, the
    mask read from it, the true mask.

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
        [photo, maskige, paint(guess, palette), paint(truth, palette)]
        for photo, maskige, guess, truth in zip(
            photos, maskiges, predicted, masks, strict=True
        )
    ]
    return panel(rows, ["photo", "decoded maskige", "mask", "truth"])


def reconstruction_panel(posterior, masks):
    """Show what tokens make of masks, one row for each mask.

    The columns: mask, maskige (the mask painted with the posterior's colors),
    the maskige decoded from its tokens, the mask read from that, and the
    pixels that came back wrong, in red.

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
    rows = []
    for mask, maskige, answer in zip(masks, decoded, answers, strict=True):
        is_wrong = (mask != answer) & (mask < posterior.num_classes)
        truth, answer = paint(mask, shown, _IGNORED), paint(answer, shown)
        errors = truth // 3
        errors[is_wrong] = (255, 0, 0)
        painted = paint(mask, palette, ignore_color)
        rows.append([truth, painted, maskige, answer, errors])
    captions = ["mask", "maskige", "decoded", "reconstructed", "errors"]
    return panel(rows, captions)


def palette_chart(palette, names=None):
    """Show the colors of a palette, one labeled tile for each class.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        names: Class names; by default the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    palette = np.asarray(palette)
    names = names or [str(number) for number in range(len(palette))]
    columns = min(10, len(palette))
    rows = -(-len(palette) // columns)
    canvas = Image.new("RGB", (columns * _TILE, rows * _TILE // 2), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (color, name) in enumerate(zip(palette, names, strict=True)):
        left, top = number % columns * _TILE, number // columns * _TILE // 2
        box = (left, top, left + _TILE - 2, top + _TILE // 2 - 2)
        color = tuple(int(round(float(value))) for value in color)
        draw.rectangle(box, fill=color)
        ink = "black" if sum(color) > 3 * 110 else "white"
        draw.text((left + 3, top + 3), name[:13], fill=ink)
    return np.asarray(canvas)


def save(picture, path):
    """Write a picture as a PNG file, creating its folder.

    Args:
        picture: Uint8 array of shape `(height, width, 3)`.
        path: Path of the file.
    """
    from PIL import Image

    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def _as_uint8(picture):
    picture = np.asarray(picture)
    if picture.dtype == np.uint8:
        return picture
    return (255 * np.clip(picture, 0, 1)).round().astype("uint8")
