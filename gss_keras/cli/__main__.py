"""Run the command-line interface with `python -m gss_keras.cli`."""

import sys

from gss_keras.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
