"""Tensors with a JSON header in one safetensors file, written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedapp.errors import RunError
from fedapp.files import atomic_path


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write `tensors` and a JSON-serialisable `header`, so that a reader finds the old file or the new one; mode 0600."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path, own_folder=True) as temporary:
        save_file(held, temporary, metadata={"header": json.dumps(header, sort_keys=True)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the processor) and header of a file of `save_tensors`.

    Raises:
        RunError: No such file, or not one that `save_tensors` wrote.
    """
    if not path.is_file():
        raise RunError(f"no model file {path}", "give the folder of a partner in a finished run, such as runs/RUN/partners/NAME")
    try:
        with safe_open(path, framework="pt") as opened:
            header = json.loads(opened.metadata()["header"])
            return {name: opened.get_tensor(name) for name in opened.keys()}, header  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is not a model file of this program: {error}", "it may be damaged; restore it or train again") from error
