"""The command line of a recipe, derived from its settings."""

import os
import sys

from gss_keras.training.rounds import DivergedError

_TRACEBACK = "GSS_KERAS_TRACEBACK"


def run_recipe(main, settings, description):
    """Parse settings from the command line and run a recipe with them.

    Errors that a user can fix, such as a missing folder, a broken file or a
    full disk, end the process with one message and exit status 1; with the
    environment variable `GSS_KERAS_TRACEBACK=1` they are raised, which shows
    the traceback.

    Args:
        main: Function that takes the settings.
        settings: A frozen dataclass with a default for each field.
        description: Help text, usually the recipe's docstring.
    """
    import tyro

    try:
        main(tyro.cli(settings, description=description))
    except (ValueError, OSError, DivergedError) as error:
        if os.environ.get(_TRACEBACK):
            raise
        sys.exit(f"error: {error}")
