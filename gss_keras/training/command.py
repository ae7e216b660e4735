"""Turn a recipe's settings into its command line."""

import os
import sys

from gss_keras.training.rounds import DivergedError

_TRACEBACK = "GSS_KERAS_TRACEBACK"


def run_recipe(main, settings, description):
    """Read settings from the command line and run a recipe with them.

    What a user can mend, such as a missing folder, a broken file or a full
    disk, ends with one message and the exit status 1; the environment
    variable `GSS_KERAS_TRACEBACK=1` shows where it came from.

    Args:
        main: Function of the settings.
        settings: A frozen dataclass with a default for each field.
        description: Text of the help, usually the recipe's docstring.
    """
    import tyro

    try:
        main(tyro.cli(settings, description=description))
    except (ValueError, OSError, DivergedError) as error:
        if os.environ.get(_TRACEBACK):
            raise
        sys.exit(f"error: {error}")
