"""Where a verb may write: it replaces nothing but what it can prove to be its own earlier output.

The proof lies in the folder itself: `.polyphony.json` says what kind of output it is, and lists every file with its SHA-256. A folder that
holds anything else, or a text that somebody changed, is a person's, and stays; so does an output of another kind, and a folder of outputs.
Arrays that differ from the list are damaged, and may be made anew.

A prepared folder has a second list of digests in its `summary.json`, and cannot do with one. That one is sealed, goes wherever the summary
goes, and is checked before a dataset is built of those files. This one is of every file, the summary and a dataset inside among them, may
be lost with no more harm than that nothing here is replaced any more, and is never a reason to read a file or not.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from fedapp.errors import BusyError, OutputError
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.digests import file_digest, file_digests
from fedapp.storage.files import atomic_directory
from fedapp.storage.json_file import SEAL, read_json, write_json
from fedapp.storage.leftovers import LEFT_OVER, discard, unfinished

MANIFEST = ".polyphony.json"
ARRAYS = (".npy", ".parquet", ".safetensors")  # what nobody edits
SHOWN = 3  # of a person's files that an error names
ELSEWHERE = "name a folder that does not exist yet"


@dataclass(frozen=True)
class Kind:
    """A kind of output; one of another kind is never replaced.

    Attributes:
        name: In words, such as "a dataset".
        earlier: Files of one from before there were lists, relative; the first one is its header, and must be there.
        inner: Folder in it to the kind of output that it is, with a list of its own.
    """

    name: str
    earlier: tuple[str, ...] = ()
    inner: Mapping[str, "Kind"] = field(default_factory=dict)


@contextmanager
def output_folder(out: Path, kind: Kind, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a temporary folder; on success it is listed and becomes `out`, on error `out` stays as it was.

    Enter it before anything is computed: what may not be replaced is refused at once, and again in the end.

    Args:
        out: New, empty, or our own earlier output of this kind; parents are made. Of a symbolic link, the folder that it names is
            written.
        kind: What is written.
        sources: Files and folders that are read; none of them may lie in `out`.
    Raises:
        OutputError: `out` is not ours to replace.
        BusyError: Another process is writing it.
        OSError: The disk takes no more.
    """
    sources, out = list(sources), out.resolve()
    check_folder(out, kind, sources)
    with atomic_directory(out) as folder:
        yield folder
        files = file_digests(folder, (_relative(path, folder) for path in _files(folder)))
        write_json(folder / MANIFEST, {"kind": kind.name, "files": files})
        _check_contents(out, kind)


def check_folder(out: Path, kind: Kind, sources: Iterable[Path] = ()) -> bool:
    """Refuse a folder that is not ours to write; whether an earlier output would be replaced.

    Args:
        out, kind, sources: As for `output_folder`.
    Raises:
        OutputError: It is, or holds, the current folder, the home folder or a source; a mount point; no folder; an output of another
            kind; or it holds anything that we did not write there, which is named.
        BusyError: Another process is writing it.
    """
    out = out.resolve()
    _check_name(out)
    for name, kept in _kept(sources):
        if any(_same(out, each) for each in (kept, *kept.parents)):
            raise OutputError(f"{out} is or holds {name}, and would be replaced as a whole", ELSEWHERE)
    if os.path.ismount(out):
        raise OutputError(f"{out} is a mount point, which cannot be replaced as a whole", f"name a folder in it, such as {out / 'out'}")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file", ELSEWHERE)
    if any(not discard(left) for left in unfinished(out)):
        raise BusyError(f"{out} is being written by another process", "wait until that has ended, or name another folder")
    return _check_contents(out, kind)


def _check_name(out: Path) -> None:
    """Refuse a path that libraries written in Rust cannot write."""
    try:
        str(out).encode()
    except UnicodeEncodeError as error:
        raise OutputError(f"{os.fsencode(out)!r} is not UTF-8", "give it a name in UTF-8") from error


def _check_contents(out: Path, kind: Kind) -> bool:
    """Refuse to replace what a person has in a folder; whether there is anything of ours."""
    if not out.is_dir() or not any(out.iterdir()):
        return False
    kept = _list(out).get("kind", kind.name)
    if kept != kind.name:
        raise OutputError(f"{out} is {kept}, and {kind.name} does not take its place", ELSEWHERE)
    others = list(islice(strangers(out, kind), SHOWN + 1))
    if others:
        named = ", ".join(others[:SHOWN]) + (" and more" if len(others) > SHOWN else "")
        raise OutputError(f"{out} holds what Polyphony did not write, or what was changed since: {named}", f"{ELSEWHERE}, or move it away")
    return True


def check_file(out: Path, sources: Iterable[Path], ours: Callable[[Path], bool]) -> bool:
    """Refuse a file that is not ours to write; whether an earlier output would be replaced.

    Args:
        out: New, empty, or a file that we wrote.
        sources: Files that are read, none of which may be written.
        ours: Whether we wrote an existing file.
    Raises:
        OutputError: A source, a folder, or a file that we did not write.
        OSError: The folder that is to hold it cannot be made or written.
    """
    _check_name(out)
    if any(_same(out, source) for source in sources):
        raise OutputError(f"{out} is read, and cannot be written as well", "name another file")
    if out.exists() and not (out.is_file() and (not out.stat().st_size or ours(out))):
        raise OutputError(
            f"{out} exists, and Polyphony did not write it as it stands", "name a file that does not exist yet, or move this one away"
        )
    for left in unfinished(out):  # by a call that was killed
        discard(left)
    folder = next(each for each in out.resolve().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        number = errno.EACCES if folder.is_dir() else errno.ENOTDIR
        raise OSError(number, os.strerror(number), str(folder))
    return out.exists()


def strangers(folder: Path, kind: Kind) -> Iterator[str]:
    """What lies in a folder and was not written by us as this kind, or was changed since; relative paths, looked for one by one."""
    yield from _strangers(folder, folder, _listed(folder, kind) or _unlisted(folder, kind), kind.inner)


def _strangers(folder: Path, root: Path, known: dict[str, str], inner: Mapping[str, Kind]) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        name = _relative(path, root)
        if path.is_dir() and not path.is_symlink():
            if known and LEFT_OVER.fullmatch(path.name) and discard(path):  # in a folder that is ours, and in no other
                continue
            if os.path.ismount(path) or not any(path.iterdir()):
                yield f"{name}/"
            elif not (path / MANIFEST).is_file():
                yield from _strangers(path, root, known, inner)
            elif name in inner and _listed(path, inner[name]):
                yield from (f"{name}/{other}" for other in strangers(path, inner[name]))
            else:  # an output of its own, for which somebody chose this place
                yield f"{name}/"
        elif path.name == MANIFEST or (known and LEFT_OVER.fullmatch(path.name) and discard(path)):
            continue
        elif name not in known or not _ours(path, known[name]):
            yield name


def _ours(path: Path, digest: str) -> bool:
    """Whether it is the file with this digest (any, if empty), or a damaged one, which an array or an emptied file must be."""
    if path.is_symlink() or not path.is_file():
        return False
    return not digest or path.suffix in ARRAYS or not path.stat().st_size or digest == file_digest(path)


def _list(folder: Path) -> dict[str, Any]:
    """An output's own list; a damaged one says nothing."""
    with suppress(OSError, DamagedFileError):
        manifest = read_json(folder / MANIFEST)
        return manifest if isinstance(manifest, dict) else {}
    return {}


def _listed(folder: Path, kind: Kind) -> dict[str, str]:
    """Files of an output's list to their digests; nothing of another kind's."""
    manifest = _list(folder)
    files = manifest.get("files") if manifest.get("kind") == kind.name else None
    return {str(name): str(digest) for name, digest in files.items() if digest} if isinstance(files, dict) else {}


def _unlisted(folder: Path, kind: Kind) -> dict[str, str]:
    """Files of an output from before there were lists, any contents; nothing unless its header is one of ours, and of that time."""
    with suppress(OSError, DamagedFileError, TypeError):
        header = read_json(folder / next(iter(kind.earlier), MANIFEST))
        if "digest" in header and "note" in header and SEAL not in header:
            return dict.fromkeys(kind.earlier, "")
    return {}


def _kept(sources: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """What no output may take the place of, with its name in words."""
    with suppress(OSError):  # it was removed
        yield "the current folder", Path.cwd()
    with suppress(RuntimeError):  # nobody's home
        yield "the home folder", Path.home().resolve()
    for source in sources:
        yield f"{source}, which is read", source.resolve()


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, in whatever spelling, through links and mounts."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
