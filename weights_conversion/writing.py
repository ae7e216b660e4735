"""Writes what a conversion made: a preset, and the picture of its check."""

import hashlib
import os
import pathlib
import tempfile

from gss_keras import visualize


def write_preset(model, output, card, picture):
    """Writes a preset and, beside it, a picture: both or neither.

    Args:
        model: The model, such as a `DiscreteVAE`.
        output: Folder of the preset.
        card: Text of the model card in Markdown.
        picture: Uint8 array `(height, width, 3)` of what the model made of
            something drawn.

    Raises:
        ValueError: If `output` holds something else than a preset.
    """
    output = pathlib.Path(output).expanduser().absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        drawn = pathlib.Path(folder, "check.png")
        visualize.save(picture, drawn)
        model.save_to_preset(output, card=card)
        os.replace(drawn, picture_of(output))


def picture_of(output):
    """Returns the path of the picture beside a preset."""
    output = pathlib.Path(output)
    return output.with_name(f"{output.name}_check.png")


def sha256(path):
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def draw_street(size=(96, 128)):
    """Draws a street to try a model on, uint8 `(height, width, 3)`."""
    from gss_keras.synthetic.streets import Streets

    return Streets(count=1, seed=0, size=size)[0]["photo"]
