"""The command-line interface `gss-keras`."""

from gss_keras.cli.main import main

__all__ = ["main"]
