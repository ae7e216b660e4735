"""Write folders atomically."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def whole_folder(folder):
    """Write a folder atomically: it appears once all files are on disk.

    Even if the process is killed, `folder` is either unchanged or complete:
    files are written to a temporary folder next to it, synced to disk, and
    moved by a rename. A killed process leaves a hidden temporary folder
    behind, which `remove_partial` removes.

    Args:
        folder: Path of the folder. An existing one is replaced.

    Yields:
        A `pathlib.Path` of an empty temporary folder to write to.

    Raises:
        OSError: If it cannot be written; `folder` is then unchanged.

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
                _sync(path)
        partial.chmod(0o755)
        _put_in_place(partial, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partial(parent):
    """Remove the temporary folders that killed processes left behind.

    If a process was killed between the two renames that replace a folder, its
    earlier version is restored.

    Args:
        parent: Path of the parent folder of those that `whole_folder` wrote.
    """
    for path in pathlib.Path(parent).glob(".*" + _MARK + "*"):
        folder = path.with_name(path.name[1:].split(_MARK)[0])
        if path.name.endswith(_EARLIER) and not folder.exists():
            os.replace(path, folder)
        else:
            shutil.rmtree(path, ignore_errors=True)


_MARK = ".partial-"
_EARLIER = "-earlier"


def _prefix(folder):
    return f".{folder.name}{_MARK}"


def _put_in_place(partial, folder):
    if not folder.exists():
        os.replace(partial, folder)
        return
    earlier = partial.with_name(partial.name + _EARLIER)
    os.replace(folder, earlier)
    os.replace(partial, folder)
    shutil.rmtree(earlier)


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
