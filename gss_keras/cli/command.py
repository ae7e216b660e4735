"""Base class and helpers of the commands."""

import dataclasses

OK, FAILED, SOME_SKIPPED = 0, 1, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Base class of commands, whose fields are the command-line options.

    `run` returns the exit status and a report, a JSON-serializable dict. What
    it prints is for people, not for scripts.
    """

    json: bool = False
    """Print the report as one line of JSON to standard output, and everything
    else to standard error."""

    def run(self):
        """Run the command; return the exit status and the report."""
        raise NotImplementedError


def load_segmenter(preset):
    """Load a generative or discriminative segmenter, see `from_preset`.

    Raises:
        ValueError: If the preset does not exist or contains another model.
    """
    from gss_keras.models.base_segmenter import BaseSegmenter

    return BaseSegmenter.from_preset(preset)


def echo(*lines):
    """Print lines and flush, so that piped output shows progress, too."""
    print(*lines, sep="\n", flush=True)  # noqa: T201
