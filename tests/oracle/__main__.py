"""Command line of the reference implementation."""

import argparse
import sys

import torch

import tests.oracle
from tests.oracle.check import check
from tests.oracle.checkpoints import checkpoint, tokenizer
from tests.oracle.golden import golden
from tests.oracle.released import RELEASED, parameters

COMMANDS = {
    function.__name__: function
    for function in (check, golden, checkpoint, tokenizer, parameters)
}


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.oracle",
        description=tests.oracle.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    named = {
        name: commands.add_parser(name, help=function.__doc__.splitlines()[0])
        for name, function in COMMANDS.items()
    }
    for name in ("check", "golden", "tokenizer"):
        named[name].add_argument("folder")
    for name in ("golden", "checkpoint", "tokenizer"):
        named[name].add_argument("--seed", type=int, default=1)
    named["golden"].add_argument("--count", type=int, default=24)
    add_argument = named["checkpoint"].add_argument
    add_argument("name", choices=RELEASED)
    add_argument("path")
    add_argument("--no-tokenizer", action="store_false", dest="with_tokenizer")
    add_argument("--old-format", action="store_false", dest="as_zip")
    return parser


def main():
    """Run a command and return the exit status."""
    arguments = vars(_parser().parse_args())
    # The order of summation affects rounding; files must be reproducible.
    torch.set_num_threads(1)
    return COMMANDS[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    sys.exit(main())
