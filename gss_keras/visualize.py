"""Put photo, maskige and masks side by side in one picture."""

import pathlib

import numpy as np
from keras import ops

from gss_keras.maskige import palettes

_GAP = 4
_CAPTION = 18
_TILE = 88
_IGNORED = (128, 128, 128)
_ABSENT = (225, 225, 225)
_DARKEST = np.array([8, 48, 107])
# A chart of many classes has small cells, but names must stay readable.
_CHART_SIDE = 900
_SMALLEST_CELL, _LARGEST_CELL = 12, 44
_NUMBERED_CELL = 24
_BAR_HEIGHT, _BAR_LENGTH = 16, 400


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


def confusion_matrix(confusion, names=None):
    """Show which class was taken for which, as shares of the true class.

    A row is a true class, a column what it was taken for: the darker, the
    more of its pixels. Darkness grows with the root of the share, so that one
    pixel in a hundred can be seen; up to some 35 classes each cell also tells
    its percents. Rows of classes without a single pixel are gray.

    Args:
        confusion: Int array `(num_classes, num_classes)` of counts, or with
            one more column for pixels that were taken for none of the
            classes, which is shown where it is not empty.
        names: Class names; by default the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    confusion = np.asarray(confusion, "float64")
    count = len(confusion)
    names = [str(name) for name in names or range(count)]
    columns = [*names, "(none)"]
    if confusion.shape[1] == count or not confusion[:, -1].any():
        confusion, columns = confusion[:, :count], names
    cell = _CHART_SIDE // count
    cell = min(max(cell, _SMALLEST_CELL), _LARGEST_CELL)
    font = _font(min(cell - 1, 13))
    margin = _GAP * 2 + max(int(font.getlength(name)) for name in columns)
    size = (margin + cell * len(columns) + 1, margin + cell * count + 1)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    middle = cell // 2
    for row, name in enumerate(names):
        place = (margin - _GAP, margin + row * cell + middle)
        draw.text(place, name, "black", font, anchor="rm")
    for column, name in enumerate(columns):
        label = Image.new("RGB", (margin, cell), "white")
        place = (_GAP, middle)
        ImageDraw.Draw(label).text(place, name, "black", font, anchor="lm")
        turned = label.transpose(Image.Transpose.ROTATE_90)
        canvas.paste(turned, (margin + column * cell, 0))
    _draw_cells(draw, confusion, margin, cell)
    return np.asarray(canvas)


def _draw_cells(draw, confusion, margin, cell):
    """Draw the colored cells of a confusion matrix, and their percents."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    colors = 255 + np.sqrt(shares)[..., None] * (_DARKEST - 255.0)
    colors[totals[:, 0] == 0] = _ABSENT
    font = _font(min(cell // 3, 12)) if cell >= _NUMBERED_CELL else None
    for row, column in np.ndindex(shares.shape):
        left, top = margin + column * cell, margin + row * cell
        color = tuple(colors[row, column].round().astype(int).tolist())
        box = (left, top, left + cell, top + cell)
        draw.rectangle(box, color, (235, 235, 235))
        percents = f"{100 * shares[row, column]:.0f}"
        if font and percents != "0":
            ink = "white" if sum(color) < 3 * 140 else "black"
            place = (left + cell // 2, top + cell // 2)
            draw.text(place, percents, ink, font, anchor="mm")


def iou_bars(ious, names=None):
    """Show the IoU of each class as a bar, the best class first.

    The red line is the mean over the classes that occur.

    Args:
        ious: Float array `(num_classes,)` in percent, NaN for classes that do
            not occur.
        names: Class names; by default the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    ious = np.asarray(ious, "float64")
    names = [str(name) for name in names or range(len(ious))]
    font = _font(12)
    margin = _GAP * 2 + max(int(font.getlength(name)) for name in names)
    # The number of a full bar stands to the right of it.
    size = (margin + _BAR_LENGTH + 60, _BAR_HEIGHT * len(ious))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    if not np.isnan(ious).all():
        mean = margin + round(_BAR_LENGTH * np.nanmean(ious) / 100)
        draw.line((mean, 0, mean, size[1]), (220, 30, 30), 1)
    ranks = -np.where(np.isnan(ious), -1, ious)
    best_first = np.argsort(ranks, kind="stable")
    for row, number in enumerate(best_first):
        top = row * _BAR_HEIGHT
        middle = top + _BAR_HEIGHT // 2
        place = (margin - _GAP, middle)
        draw.text(place, names[number], "black", font, anchor="rm")
        end, text = margin, "absent"
        if not np.isnan(ious[number]):
            end += round(_BAR_LENGTH * ious[number] / 100)
            text = f"{ious[number]:.1f}"
            box = (margin, top + 2, end, top + _BAR_HEIGHT - 3)
            draw.rectangle(box, tuple(_DARKEST.tolist()))
        draw.text((end + _GAP, middle), text, "black", font, anchor="lm")
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


def _font(size):
    from PIL import ImageFont

    return ImageFont.load_default(size)
