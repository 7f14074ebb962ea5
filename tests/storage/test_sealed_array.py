"""A list of true and false that is read is the one that was written, or its damage is named."""

from pathlib import Path

import numpy as np
import pytest

from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_array import read_flags, write_flags

FLAGS = np.arange(40) % 3 == 0


def test_a_list_comes_back_for_its_owner_alone_and_is_any_readers_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    write_flags(path, FLAGS)
    assert read_flags(path).tolist() == np.load(path).tolist() == FLAGS.tolist()
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_mtime_ns
    write_flags(path, FLAGS)
    assert path.stat().st_mtime_ns == before, "the same list is not written anew"
    write_flags(path, ~FLAGS)
    assert read_flags(path).tolist() == (~FLAGS).tolist()


def test_no_flipped_bit_is_overlooked_and_a_list_without_a_digest_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    write_flags(path, FLAGS)
    written = path.read_bytes()
    for place in range(8 * len(written)):
        flipped = bytearray(written)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedFileError, match=r"rows\.npy"):
            read_flags(path)
    for kept in (0, 10, len(written) - 32, len(written) - 1):
        path.write_bytes(written[:kept])
        with pytest.raises(DamagedFileError, match=r"rows\.npy"):
            read_flags(path)
    write_flags(path, np.arange(3))
    with pytest.raises(DamagedFileError, match="not a list of bool"):
        read_flags(path)
