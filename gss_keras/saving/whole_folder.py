"""Write a folder whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def whole_folder(folder):
    """Fill a folder that appears only once everything in it is on disk.

    Whatever happens in between, the process being killed included, `folder`
    is either as it was or complete: files are written beside it, brought to
    disk and moved into place by renaming. What a killed process left behind
    is hidden, and `remove_partial` clears it away.

    Args:
        folder: Path of the folder. An existing one is replaced.

    Yields:
        A `pathlib.Path` of an empty folder to write into.

    Raises:
        OSError: If it cannot be written; `folder` then is as it was.

    Example:
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "result"
        >>> with whole_folder(folder) as partial:
        ...     _ = (partial / "file.txt").write_text("text")
        >>> [path.name for path in folder.iterdir()]
        ['file.txt']
    """
    folder = pathlib.Path(folder).expanduser().absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(
        tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent)
    )
    try:
        yield partial
        for path in partial.rglob("*"):
            if path.is_file():
                _bring_to_disk(path)
        partial.chmod(0o755)
        _put_in_place(partial, folder)
        _bring_to_disk(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partial(parent):
    """Remove what killed processes left half-written in a folder.

    A folder that was being replaced, and was moved aside only, is put back.

    Args:
        parent: Path of the folder in which `whole_folder` wrote.
    """
    for path in pathlib.Path(parent).glob(".*" + _MARK + "*"):
        folder = path.with_name(path.name[1:].split(_MARK)[0])
        if path.name.endswith(_ASIDE) and not folder.exists():
            os.replace(path, folder)
        else:
            shutil.rmtree(path, ignore_errors=True)


_MARK = ".partial-"
_ASIDE = "-earlier"


def _prefix(folder):
    return f".{folder.name}{_MARK}"


def _put_in_place(partial, folder):
    if not folder.exists():
        os.replace(partial, folder)
        return
    earlier = partial.with_name(partial.name + _ASIDE)
    os.replace(folder, earlier)
    os.replace(partial, folder)
    shutil.rmtree(earlier)


def _bring_to_disk(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
