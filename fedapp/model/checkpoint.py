"""Tensors with a JSON header in one safetensors file, written whole or not at all, and read with its checksum."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedapp.errors import RunError
from fedapp.storage.damage import DamagedFileError, reading
from fedapp.storage.digests import checksum
from fedapp.storage.files import atomic_path

HINT = "restore it from a backup, or train again"
CHECKSUM = "checksum"


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write `tensors` and a JSON-serialisable `header`, so that a reader finds the old file or the new one; mode 0600."""
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    summed = header | {CHECKSUM: tensors_checksum(header, saved)}
    with atomic_path(path, own_folder=True) as temporary:
        save_file(saved, temporary, metadata={"header": json.dumps(summed, sort_keys=True)})  # one key: safetensors would shuffle more


def load_header(path: Path, hint: str = HINT) -> dict[str, Any]:
    """The header alone, without reading the tensors or comparing the checksum over both.

    Raises:
        RunError: No such file, or not one that `save_tensors` wrote.
    """
    if not path.is_file():
        raise RunError(f"no model file {path}", hint)
    try:
        with reading(path, hint), safe_open(path, framework="pt") as opened:
            header: dict[str, Any] = json.loads(opened.metadata()["header"])
            return header
    except DamagedFileError as error:
        raise RunError(f"{path} is not a model file of this program: {error}", error.hint) from error


def load_tensors(path: Path, hint: str = HINT) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the processor) and header of a file of `save_tensors`.

    Raises:
        RunError: No such file, or not one that `save_tensors` wrote.
    """
    if not path.is_file():
        raise RunError(f"no model file {path}", "give the folder of a partner in a finished run, such as runs/RUN/partners/NAME")
    try:
        with reading(path, hint), safe_open(path, framework="pt") as opened:
            header: dict[str, Any] = json.loads(opened.metadata()["header"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
            if CHECKSUM not in header:
                raise ValueError("it has no checksum, as files of an earlier version")
            if header.pop(CHECKSUM) != tensors_checksum(header, tensors):
                raise ValueError("it is not what its own checksum says")
            return tensors, header
    except DamagedFileError as error:
        raise RunError(f"{path} is not a model file of this program: {error}", error.hint) from error


def tensors_checksum(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Of header and tensors."""
    return checksum(json.dumps(header, sort_keys=True), {name: tensor.numpy() for name, tensor in tensors.items()})
