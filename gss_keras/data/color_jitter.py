"""Random color jitter: brightness, contrast, saturation and hue."""

import dataclasses

import numpy as np

# RGB to YIQ, the luma-chroma space of NTSC television.
_TO_YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.596, -0.274, -0.322],
        [0.211, -0.523, 0.312],
    ]
)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Jitter the brightness, contrast, saturation and hue of a photo.

    It teaches a model to rely on shape, not only on color. Each of the four
    changes is applied with probability 0.5, by an amount drawn uniformly.

    Args:
        brightness: Largest offset, positive or negative, added to all
            channels, 0-255.
        contrast: Smallest and largest factor by which all channels are
            multiplied.
        saturation: Smallest and largest factor by which the distance from
            gray is multiplied.
        hue: Largest rotation of the hue in either direction, in degrees.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        The photometric distortion of the release: brightness 32, contrast and
        saturation 0.5 to 1.5, hue 18 units of two degrees. The release changes
        saturation and hue in HSV and clips after every step. Here every step
        is an affine color transform (saturation and hue in YIQ, around the
        same gray axis), all are combined into one matrix, and the photo is
        clipped once. The steps commute, so their order does not matter.

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
                    f"`{argument}` must be a smallest and a largest factor, "
                    f"both at least 0. Received: {argument}="
                    f"{getattr(self, argument)}"
                )

    def __call__(self, photo, generator):
        """Apply a random color transform to a photo.

        Args:
            photo: uint8 array `(height, width, 3)`, 0-255.
            generator: `numpy.random.Generator`.

        Returns:
            uint8 array of the same shape.
        """
        from PIL import Image

        matrix = self.draw_matrix(generator)
        image = Image.fromarray(np.ascontiguousarray(photo))
        image = image.convert("RGB", tuple(matrix.ravel().tolist()))
        return np.asarray(image)

    def draw_matrix(self, generator):
        """Draw a random color transform.

        Args:
            generator: `numpy.random.Generator`.

        Returns:
            Float array `(3, 4)`, an affine transform: an RGB color, 0-255,
            becomes `matrix[:, :3] @ color + matrix[:, 3]`.
        """
        amounts = [
            generator.uniform(-self.brightness, self.brightness),
            generator.uniform(*self.contrast),
            generator.uniform(*self.saturation),
            np.deg2rad(generator.uniform(-self.hue, self.hue)),
        ]
        is_applied = generator.random(4) < 0.5
        brightness, contrast, saturation, hue = np.where(
            is_applied, amounts, (0.0, 1.0, 1.0, 0.0)
        )
        cosine, sine = saturation * np.cos(hue), saturation * np.sin(hue)
        rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        linear = contrast * np.linalg.inv(_TO_YIQ) @ rotation @ _TO_YIQ
        return np.column_stack([linear, np.full(3, contrast * brightness)])
