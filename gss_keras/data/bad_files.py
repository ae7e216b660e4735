"""Go on without the few files that cannot be read, and report them."""

import contextlib
from pathlib import Path

import numpy as np


class SkipBadFiles:
    """Replaces records that cannot be read by the next one that can.

    One truncated photo among 20,000 then does not end a training of days.
    Which record replaces which depends on the files alone, never on workers
    or on the order in which records are asked for. Every bad record is
    written to a text file once, also when several worker processes meet it.

    Args:
        source: A source such as `Folders`.
        report: Path of the text file to which bad records are added; its
            folder is made. See `read_report`.
        blank_masks: Whether the mask of a replacement is 255 everywhere. For
            evaluation: no record then counts twice.

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
        """Read one record, or the next one that can be read.

        Args:
            index: Position, an int in `[-len(self), len(self))`.

        Returns:
            A dict as of the source; a replacement has its own `"name"`.
        """
        count = len(self)
        if not -count <= index < count:
            raise IndexError(
                f"`index` must be at least {-count} and below {count}. "
                f"Received: index={index}"
            )
        for step in range(count):
            place = (index + step) % count
            try:
                record = self.source[place]
            except (ValueError, OSError) as error:
                self._add(place, error)
                continue
            if step and self.blank_masks:
                blank = np.full_like(record["mask"], self.ignore_label)
                record = record | {"mask": blank}
            return record
        raise ValueError(
            "`source` must hold at least one record that can be read. "
            f"Received: {count} of {count} are bad; {self.report} says why."
        )

    def _add(self, place, error):
        """Add a bad record to the report, unless it is there."""
        names = getattr(self.source, "names", None)
        name = f"record {place}" if names is None else names[place]
        # One line for each record, whatever the error says.
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
        except OSError as failure:
            raise ValueError(_unwritable(self.report, failure)) from failure


def read_report(path):
    """Read the records that `SkipBadFiles` left out.

    Args:
        path: Path of the report.

    Returns:
        Tuple of pairs: the name of a record and why it cannot be read, with
        the path of the file.

    Raises:
        ValueError: If there is no such file.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(
            "`path` must be a report that `SkipBadFiles` wrote. "
            f"Received: path={str(path)!r} ({error})"
        ) from error
    pairs = (line.partition("\t") for line in lines if line)
    return tuple((name, reason) for name, _, reason in pairs)


@contextlib.contextmanager
def _locked(file):
    """Keep other processes out while a file is read and added to."""
    try:
        import fcntl
    except ImportError:
        # Windows: two processes may then both add the same record.
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _unwritable(report, error):
    """Return what to say of a report that cannot be written."""
    return (
        "`report` must be a file that can be written. Received: "
        f"report={str(report)!r} ({error}). Name another file or free space."
    )
