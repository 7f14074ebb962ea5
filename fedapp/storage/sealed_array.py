"""Lists of true and false as NumPy files, written whole and read back as what they were: of itself NumPy does not notice a flipped bit.

A digest of all bytes before it ends the file, which is any reader's `.npy`: NumPy reads no further than the array.
"""

import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedapp.storage.damage import RESTORE, reading
from fedapp.storage.files import atomic_path

DIGEST = 32  # bytes


def write_flags(path: Path, flags: NDArray[np.bool_]) -> None:
    """Write a list, bool [n], atomically, for its owner alone; one that says the same already is left as it is."""
    content = BytesIO()
    np.save(content, flags)
    written = content.getvalue() + hashlib.sha256(content.getvalue()).digest()
    if not path.is_file() or path.read_bytes() != written:
        with atomic_path(path) as temporary:
            temporary.write_bytes(written)


def read_flags(path: Path, hint: str = RESTORE) -> NDArray[np.bool_]:
    """What `write_flags` wrote.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    with reading(path, hint):
        written = path.read_bytes()
        if hashlib.sha256(written[:-DIGEST]).digest() != written[-DIGEST:]:
            raise ValueError("it is not what its own digest says")
        flags: NDArray[np.bool_] = np.load(BytesIO(written), allow_pickle=False)
        if flags.dtype != np.bool_ or flags.ndim != 1:
            raise ValueError(f"{flags.dtype} with {flags.ndim} dimensions, not a list of bool")
        return flags
