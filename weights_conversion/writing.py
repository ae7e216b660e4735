"""Write the results of a conversion: a preset and a picture of its check."""

import hashlib
import os
import pathlib
import tempfile

from gss_keras import visualize


def write_preset(model, output, card, picture):
    """Write a preset and a picture next to it, both or neither.

    Args:
        model: The model, such as a `DiscreteVAE`.
        output: Folder of the preset.
        card: Text of the model card in Markdown.
        picture: Uint8 array `(height, width, 3)` of the model's output for a
            synthetic input.

    Raises:
        ValueError: If `output` is a folder that is not a preset.
    """
    output = pathlib.Path(output).expanduser().absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        temporary = pathlib.Path(folder, "check.png")
        visualize.save(picture, temporary)
        model.save_to_preset(output, card=card)
        os.replace(temporary, picture_of(output))


def picture_of(output):
    """Return the path of the picture next to a preset."""
    output = pathlib.Path(output)
    return output.with_name(f"{output.name}_check.png")


def sha256(path):
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def draw_street(size=(96, 128)):
    """Render a synthetic street scene, uint8 `(height, width, 3)`."""
    from gss_keras.synthetic.streets import Streets

    return Streets(count=1, seed=0, size=size)[0]["photo"]
