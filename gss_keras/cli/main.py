"""Parse the command line, run a command, report errors in one line."""

import contextlib
import functools
import json
import operator
import os
import sys
from typing import Annotated

from gss_keras.cli.command import FAILED, OK
from gss_keras.cli.convert import Convert, convert
from gss_keras.cli.demo import Demo
from gss_keras.cli.evaluate import Evaluate
from gss_keras.cli.export import Export
from gss_keras.cli.info import Info
from gss_keras.cli.predict import Predict

_COMMANDS = {
    "predict": Predict,
    "evaluate": Evaluate,
    "export": Export,
    "convert": Convert,
    "demo": Demo,
    "info": Info,
}
_HELP = """Generative semantic segmentation: photos in, masks out.

Exit status: 0 on success, 1 on error, 2 if some files were skipped. The
environment variable KERAS_BACKEND selects tensorflow, jax or torch.
`gss-keras COMMAND --help` lists the options of a command."""
_TRACEBACK = "GSS_KERAS_TRACEBACK"
_INTERRUPTED = 130


def main(arguments=None):
    """Run a command of `gss-keras`.

    Errors that a user can fix, such as a missing folder or a broken file, are
    printed as one message; with the environment variable
    `GSS_KERAS_TRACEBACK=1` they are raised, which shows the traceback.

    Args:
        arguments: List of strings; `sys.argv[1:]` by default.

    Returns:
        The exit status: 0 on success, 1 on error, 2 if some files were
        skipped, 130 if interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["--version"]:
        import gss_keras

        print(f"gss-keras {gss_keras.__version__}")  # noqa: T201
        return OK
    wants_json = "--json" in arguments
    try:
        # With `--json`, only the JSON goes to standard output.
        with (
            contextlib.redirect_stdout(sys.stderr)
            if wants_json
            else contextlib.nullcontext()
        ):
            status, report = _run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return _INTERRUPTED
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if os.environ.get(_TRACEBACK):
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        status, report = FAILED, {"error": str(error)}
    if wants_json and report is not None:
        text = json.dumps(report, default=str)
        print(text, flush=True)  # noqa: T201
    return status


def _run(arguments):
    """Run a command; return its exit status and report, None without one."""
    if arguments[:1] == ["convert"]:
        return convert(arguments[1:]), None
    try:
        command = _parse(arguments)
    except SystemExit as stop:
        # The parser exits with 2, which means skipped files here.
        return FAILED if stop.code else OK, None
    return command.run()


def _parse(arguments):
    try:
        import tyro
    except ImportError as error:
        raise ImportError(
            "The command line needs the package `tyro`. Install it with "
            "`pip install gss-keras[data]`."
        ) from error
    kinds = [
        Annotated[kind, tyro.conf.subcommand(name)]
        for name, kind in _COMMANDS.items()
    ]
    return tyro.cli(
        functools.reduce(operator.or_, kinds),
        prog="gss-keras",
        description=_HELP,
        args=arguments,
        config=(tyro.conf.PositionalRequiredArgs, tyro.conf.FlagCreatePairsOff),
    )
