"""Render Matplotlib figures to image arrays."""

import contextlib

import numpy as np

DARK, RED, PALE = "#1d4e89", "#c1292e", "#e8e8e8"
_DPI = 100


@contextlib.contextmanager
def chart(width, height):
    """Create a styled figure without touching Matplotlib's global state.

    Args:
        width: Width in pixels.
        height: Height in pixels.

    Yields:
        A Matplotlib figure, to be rendered with `as_image`.

    Raises:
        ImportError: If Matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Charts need the package `matplotlib`. Install it with "
            "`pip install gss-keras[data]`."
        ) from error
    style = {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "xtick.color": "#444444",
        "ytick.color": "#222222",
        "grid.color": PALE,
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context(style):
        size = (width / _DPI, height / _DPI)
        figure = Figure(size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def as_image(figure):
    """Render a figure to uint8 `(height, width, 3)`, RGB 0-255."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
