"""Change the colors of a photo at random."""

import dataclasses

import numpy as np

# RGB to luma and two color differences, the YIQ space of NTSC television.
_TO_YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.596, -0.274, -0.322],
        [0.211, -0.523, 0.312],
    ]
)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue of a photo.

    Teaches a model that shapes matter, and not only colors. Each of the four
    changes happens with probability one half, by an amount drawn uniformly.

    Args:
        brightness: Largest amount added to or taken from all channels, 0-255.
        contrast: Lowest and highest factor of all channels.
        saturation: Lowest and highest factor of the distance from gray.
        hue: Largest turn of the colors around the gray axis, in degrees.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        The photometric distortion of the release: brightness 32, contrast and
        saturation 0.5 to 1.5, hue 18 units of two degrees. The release changes
        saturation and hue in HSV and clips after every step; here every step
        is a matrix (saturation and hue in YIQ, around the same gray), the
        matrices are multiplied into one, and the photo is clipped once. The
        steps then commute, so their order does not matter.

    Example:
        >>> import numpy as np
        >>> photo = np.full((4, 4, 3), 100, "uint8")
        >>> photo = ColorJitter()(photo, np.random.default_rng(0))
        >>> photo.shape, str(photo.dtype)
        ((4, 4, 3), 'uint8')
    """

    brightness: float = 32.0
    contrast: tuple = (0.5, 1.5)
    saturation: tuple = (0.5, 1.5)
    hue: float = 36.0

    def __post_init__(self):
        """Check the arguments."""
        for argument in ("brightness", "hue"):
            if not getattr(self, argument) >= 0:
                raise ValueError(
                    f"`{argument}` must be at least 0. "
                    f"Received: {argument}={getattr(self, argument)}"
                )
        for argument in ("contrast", "saturation"):
            lowest, highest = getattr(self, argument)
            if not 0 <= lowest <= highest:
                raise ValueError(
                    f"`{argument}` must be a lowest and a highest factor, "
                    f"both at least 0. Received: {argument}="
                    f"{getattr(self, argument)}"
                )

    def __call__(self, photo, generator):
        """Change the colors of a photo.

        Args:
            photo: uint8 array `(height, width, 3)`, 0-255.
            generator: `numpy.random.Generator`.

        Returns:
            uint8 array of the same shape.
        """
        from PIL import Image

        matrix = self.draw_matrix(generator)
        picture = Image.fromarray(np.ascontiguousarray(photo))
        picture = picture.convert("RGB", tuple(matrix.ravel().tolist()))
        return np.asarray(picture)

    def draw_matrix(self, generator):
        """Draw a change of colors.

        Args:
            generator: `numpy.random.Generator`.

        Returns:
            Float array `(3, 4)`; a color, 0-255, becomes
            `matrix[:, :3] @ color + matrix[:, 3]`.
        """
        amounts = [
            generator.uniform(-self.brightness, self.brightness),
            generator.uniform(*self.contrast),
            generator.uniform(*self.saturation),
            np.deg2rad(generator.uniform(-self.hue, self.hue)),
        ]
        happens = generator.random(4) < 0.5
        brightness, contrast, saturation, hue = np.where(
            happens, amounts, (0.0, 1.0, 1.0, 0.0)
        )
        cosine, sine = saturation * np.cos(hue), saturation * np.sin(hue)
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        colors = contrast * np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ
        return np.column_stack([colors, np.full(3, contrast * brightness)])
