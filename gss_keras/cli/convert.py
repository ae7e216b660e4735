"""`gss-keras convert`: convert published weights to presets."""

import dataclasses
import sys

from gss_keras.cli.command import FAILED, OK, Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convert(Command):
    """Convert published weights to presets.

    Converters: dalle, gss, backbone and efficientnet_lite0. `gss-keras convert
    dalle --help` lists the options of one.
    """

    def run(self):
        """Never called, since `convert` parses its own arguments."""
        raise NotImplementedError


def convert(arguments):
    """Run a converter of `weights_conversion`.

    Args:
        arguments: List of strings, such as `["dalle", "--download"]`.

    Returns:
        The exit status, 0 or 1.
    """
    import tyro

    # Imported here, since no other command needs the converters.
    from weights_conversion import backbones, dalle, efficientnet_lite, gss

    commands = {
        "dalle": dalle.main,
        "gss": gss.main,
        "backbone": backbones.main,
        "efficientnet_lite0": efficientnet_lite.main,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="gss-keras convert", args=arguments
        )
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)  # noqa: T201
        return FAILED if stop.code else OK
    return OK
