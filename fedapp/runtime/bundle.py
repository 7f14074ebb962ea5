"""The app bundle that starts Polyphony in Flower: a name and two components, no code; what runs is what each party installed."""

import hashlib
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedapp.runtime.toml_file import toml

# As `[tool.flwr.app]` in pyproject.toml, which an installed package does not hold.
APP: dict[str, Any] = {
    "publisher": "polyphony",
    "components": {"serverapp": "fedapp.server_app:app", "clientapp": "fedapp.client_app:app"},
    "config": {"conf": "demo", "run-dir": ""},
}


def bundle_pyproject(number: str | None = None) -> str:
    """The only file of the app folder that is given to `flwr run`.

    Args:
        number: Polyphony's version; None means the installed one.
    """
    return toml(
        {
            "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"},
            "project": {"name": "polyphony", "version": number or version("polyphony"), "license": "Apache-2.0"},
            "tool": {"flwr": {"app": APP}},
        }
    )


def bundle_digest() -> str:
    """SHA-256 of the bundle that Flower makes of it, 64 hex digits; the same on every machine with this version."""
    from fedapp.runtime.flower_internals import build_bundle  # takes a second, and most verbs never need it

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(bundle_pyproject(), encoding="utf-8")
        return hashlib.sha256(build_bundle(Path(folder))).hexdigest()
