"""Skip the few files that cannot be read, and report them."""

import contextlib
from pathlib import Path

import numpy as np


class SkipBadFiles:
    """Replace each unreadable record with the next readable one.

    One truncated photo among 20,000 must not abort a training run of several
    days. The replacement depends only on the files, never on the number of
    workers or the order of access. Every bad record is written to a text file
    once, even if several worker processes encounter it.

    Args:
        source: A source such as `Folders`.
        report: Path of the text file to which bad records are appended; its
            folder is created. See `read_report`.
        blank_masks: Whether the mask of a replacement is 255 everywhere. Use
            it for evaluation, so that no record counts twice.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        report: Path of the report.

    Raises:
        ValueError: If the report cannot be written, or, when a record is
            read, if all records are bad.

    Example:
        >>> import tempfile
        >>> from gss_keras.data import Folders
        >>> from gss_keras.synthetic import streets
        >>> folder = Path(tempfile.mkdtemp()) / "streets"
        >>> source = streets.draw(folder, count=3, size=(32, 48))
        >>> _ = (folder / "images" / "00001.png").write_bytes(b"half a fi")
        >>> source = SkipBadFiles(source, folder / "bad_files.txt")
        >>> source[1]["name"]
        '00002'
        >>> [name for name, reason in read_report(source.report)]
        ['00001']
    """

    def __init__(self, source, report, blank_masks=False):
        self.source = source
        self.report = Path(report)
        self.blank_masks = blank_masks
        self.classes = source.classes
        self.num_classes = source.num_classes
        self.ignore_label = source.ignore_label
        self._reported = set()
        try:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            self.report.open("a").close()
        except OSError as error:
            raise ValueError(_unwritable(self.report, error)) from error

    @property
    def names(self):
        """Tuple of the names of all records, bad ones included."""
        return self.source.names

    def __len__(self):
        """Return the number of records, bad ones included."""
        return len(self.source)

    def __getitem__(self, index):
        """Read one record, or the next readable one.

        Args:
            index: Position, an int in `[-len(self), len(self))`.

        Returns:
            A record of the source. A replacement keeps its own `"name"`.
        """
        count = len(self)
        if not -count <= index < count:
            raise IndexError(
                f"`index` must be at least {-count} and below {count}. "
                f"Received: index={index}"
            )
        for offset in range(count):
            position = (index + offset) % count
            try:
                record = self.source[position]
            except (ValueError, OSError) as error:
                self._report(position, error)
                continue
            if offset and self.blank_masks:
                blank = np.full_like(record["mask"], self.ignore_label)
                record = record | {"mask": blank}
            return record
        raise ValueError(
            "`source` must contain at least one readable record. "
            f"Received: {count} of {count} are unreadable; see {self.report}."
        )

    def _report(self, position, error):
        """Append a bad record to the report unless it is already there."""
        names = getattr(self.source, "names", None)
        name = f"record {position}" if names is None else names[position]
        # One line per record, even if the error message has several.
        line = "\t".join(" ".join(str(part).split()) for part in (name, error))
        if line in self._reported:
            return
        self._reported.add(line)
        try:
            with self.report.open("a+", encoding="utf-8") as file:
                with _locked(file):
                    file.seek(0)
                    if line not in file.read().splitlines():
                        file.write(line + "\n")
                        file.flush()
        except OSError as write_error:
            raise ValueError(
                _unwritable(self.report, write_error)
            ) from write_error


def read_report(path):
    """Return the records that `SkipBadFiles` skipped.

    Args:
        path: Path of the report.

    Returns:
        Tuple of pairs: the name of a record and the error message, which
        includes the path of the file.

    Raises:
        ValueError: If there is no such file.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(
            "`path` must be a report written by `SkipBadFiles`. "
            f"Received: path={str(path)!r} ({error})"
        ) from error
    pairs = (line.partition("\t") for line in lines if line)
    return tuple((name, reason) for name, _, reason in pairs)


@contextlib.contextmanager
def _locked(file):
    """Hold an exclusive lock on a file."""
    try:
        import fcntl
    except ImportError:
        # Windows has no `fcntl`: two processes may report the same record.
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _unwritable(report, error):
    """Return the error message for a report that cannot be written."""
    return (
        "`report` must be a file that can be written. Received: "
        f"report={str(report)!r} ({error}). Name another file or free space."
    )
