"""The command line `gss-keras`: from photos to masks without a program."""

from gss_keras.cli.main import main

__all__ = ["main"]
