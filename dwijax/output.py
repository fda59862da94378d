"""Files that appear whole or not at all, also at Ctrl-C, and replace none unasked."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from dwijax.errors import InputError
from dwijax.process.interruption import together, unfinished


def refuse_to_overwrite(paths):
    """Refuses to go on where a file would be replaced.

    Args:
      paths: of the files to be written.

    Raises:
      InputError: names the first that is there.
    """
    for path in map(Path, paths):
        if os.path.lexists(path):
            raise InputError(path, found="that it is there already", expected="a new name",
                             remedy="choose another output, or replace it with --force")


def refuse_unwritable(folder):
    """Tries whether files can be written into a folder, before the work; leaves nothing behind.

    Args:
      folder: where they are to be; it need not be there yet.

    Raises:
      InputError: it is no folder, or nothing can be written there.
    """
    folder = Path(os.path.abspath(folder))
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        os.rmdir(tempfile.mkdtemp(dir=there, prefix="."))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path, error):
    return InputError(path, found=f"it cannot be written ({error.strerror or error})",
                      expected="a writable place with free space",
                      remedy="choose another output or free some space")


@contextlib.contextmanager
def whole(path):
    """Yields a temporary name beside `path` that is renamed to `path` when the block succeeds.

    The temporary name ends as `path` does, so that writers which choose a format by the ending
    work; parent folders are made. If the block fails, the temporary file and these folders are
    removed and what was at `path` before stays.

    Args:
      path: the file to write.

    Yields:
      `Path` to write to.

    Raises:
      InputError: the file cannot be written there (no permission, full disk, a folder).
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    made = []
    try:
        made = [folder for folder in path.parents if not folder.exists()]
        with unfinished(temporary, made):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        made = []
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others have written there meanwhile
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def whole_files(paths):
    """`whole` for files that belong together: after Ctrl-C all of them are there, or none is.

    Args:
      paths: the files to write.

    Yields:
      list of `Path` to write to, in the same order.

    Raises:
      InputError: as `whole`.
    """
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(whole(path)) for path in paths]
        with together():
            stack.close()


@contextlib.contextmanager
def scratch(parent=None, prefix=None):
    """Yields the `Path` of a new, empty folder that is removed afterwards, also at Ctrl-C.

    Args:
      parent: folder to make it in; None: where the system keeps temporary files. prefix: of its
        name.
    """
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    with unfinished(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def whole_folder(path, replace=None):
    """Yields a new, empty folder beside `path` that is renamed to `path` when the block succeeds.

    If the block fails, the folder is removed.

    Args:
      path: the folder to write.
      replace: name of the file that folders hold which may be replaced; None: nothing may be there.

    Yields:
      `Path` of the folder to write into.

    Raises:
      InputError: something is there already, or the folder cannot be written.
    """
    path = Path(os.path.abspath(path))
    if os.path.lexists(path) and not (replace and (path / replace).is_file()):
        raise InputError(path, found="something else there already" if replace else
                         "something there already", expected="a new folder",
                         remedy="choose another name or remove it")
    temporary, old = (path.with_name(f".{os.getpid()}{mark}.{path.name}") for mark in ("", "-old"))
    try:
        with unfinished(temporary), unfinished(old):
            temporary.mkdir(parents=True)
            yield temporary
            with together():
                if path.exists():
                    path.replace(old)
                temporary.replace(path)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def delivered(out, *, force=False, keep=()):
    """Yields a new, empty folder whose files move into the folder `out` when the block succeeds.

    Folders within it are kept. If the block fails, nothing has appeared in `out`.

    Args:
      out: folder, made if need be, which may hold other files.
      force: replace files that are there.
      keep: names of files that stay as they are where they are there already.

    Yields:
      `Path` of the folder to write into.

    Raises:
      InputError: a file would be replaced, or the folder cannot be written.
    """
    out = Path(os.path.abspath(out))
    with contextlib.ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(scratch(out.parent, f".{out.name}."))
            yield folder
            files = [path.relative_to(folder) for path in sorted(folder.rglob("*"))
                     if path.is_file() and not (path.name in keep and (out / path.name).exists())]
            if not force:
                refuse_to_overwrite(out / file for file in files)
            with together():
                for file in files:
                    (out / file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / file).replace(out / file)
        except OSError as error:
            raise _unwritable(out, error) from error
