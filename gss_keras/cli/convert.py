"""`gss-keras convert`: published weights become presets."""

import dataclasses
import sys

from gss_keras.cli.command import FAILED, OK, Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convert(Command):
    """Turn published weights into presets.

    Of dalle, gss, backbone and efficientnet_lite0: `gss-keras convert dalle
    --help` tells the options.
    """

    def run(self):
        """Never called: `convert` reads its own arguments."""
        raise NotImplementedError


def convert(arguments):
    """Run a command of `weights_conversion`.

    Args:
        arguments: List of strings, such as `["dalle", "--download"]`.

    Returns:
        The exit status, 0 or 1.
    """
    import tyro

    # Only here: they read files of PyTorch, which no other command does.
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
