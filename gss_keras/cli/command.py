"""What the commands have in common."""

import dataclasses

OK, FAILED, SOME_SKIPPED = 0, 1, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command: its fields are its options, `run` does it.

    `run` returns an exit status and a dict of what there is to say, which
    JSON must know. What it prints is for people.
    """

    json: bool = False
    """Print one JSON object as the only line of standard output; all that is
    for people goes to standard error."""

    def run(self):
        """Do it; return the exit status and a dict."""
        raise NotImplementedError


def load_segmenter(preset):
    """Load a segmenter of either kind, see `from_preset`.

    Raises:
        ValueError: If there is no such preset or it holds another model.
    """
    from gss_keras.models.base_segmenter import BaseSegmenter

    return BaseSegmenter.from_preset(preset)


def say(*lines):
    """Print lines for people; they do not wait in a buffer."""
    print(*lines, sep="\n", flush=True)  # noqa: T201
