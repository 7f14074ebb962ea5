"""Checkpoints."""

from pathlib import Path

import pytest
import torch

from fedapp.errors import RunError
from fedapp.model.checkpoint import load_tensors, save_tensors


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0)}
    save_tensors(tmp_path / "x.safetensors", tensors, {"round": 7, "hidden": [4, 2], "note": "é"})
    loaded, header = load_tensors(tmp_path / "x.safetensors")
    assert header == {"round": 7, "hidden": [4, 2], "note": "é"}
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_the_file_is_private_and_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_tensors(tmp_path / name, {"a": torch.ones(3), "b": torch.zeros(2)}, {"round": 1})
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {})
    with pytest.raises(TypeError):
        save_tensors(path, {"a": torch.zeros(3)}, {"not json": object()})
    assert load_tensors(path)[0]["a"].tolist() == [1, 1, 1]
    assert [held.name for held in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="x.safetensors is not a model file"):
        load_tensors(path)


def test_a_flipped_bit_is_found_and_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    held = {"a": torch.arange(12, dtype=torch.float32).reshape(3, 4), "b": torch.tensor(7.0)}
    save_tensors(path, held, {"round": 3})
    whole = path.read_bytes()
    for place in range(8 * (len(whole) - 52), 8 * len(whole), 5):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(RunError, match=r"x\.safetensors is not a model file .* checksum"):
            load_tensors(path)
    save_file(held, path, metadata={"header": '{"round": 3}'})
    with pytest.raises(RunError, match="no checksum, as files of an earlier version"):
        load_tensors(path)
