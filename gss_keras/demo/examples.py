"""Synthetic street scenes for visitors without a photo."""

import functools
import io

# Scenes that the bundled segmenter, trained on real photos, segments well.
SCENES = {"Street at noon": 48, "Street at sunset": 36}
_SIZE = (360, 480)


def titles():
    """Return the titles of the scenes, a list of str."""
    return list(SCENES)


@functools.lru_cache
def scene(index):
    """Render a scene.

    Args:
        index: Index into `titles()`.

    Returns:
        Bytes of a PNG file, 480 pixels wide and 360 high.
    """
    from PIL import Image

    from gss_keras.synthetic.streets import Streets

    number = list(SCENES.values())[index]
    photo = Streets(count=number + 1, seed=1, size=_SIZE)[number]["photo"]
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    return file.getvalue()
