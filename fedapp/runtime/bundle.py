"""The app bundle that starts Polyphony in Flower: a name and two components, no code; what runs is what each party installed."""

import hashlib
import tempfile
from importlib.metadata import version
from pathlib import Path

APP = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "polyphony"
version = "{version}"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "polyphony"

[tool.flwr.app.components]
serverapp = "fedapp.server_app:app"
clientapp = "fedapp.client_app:app"

[tool.flwr.app.config]
conf = "demo"
run-dir = ""
"""


def bundle_pyproject() -> str:
    """The only file of the app folder that is given to `flwr run`, for the installed version."""
    return APP.format(version=version("polyphony"))


def bundle_digest() -> str:
    """SHA-256 of the bundle that Flower makes of it, 64 hex digits; the same on every machine with this version."""
    from flwr.cli.build import build_fab_from_disk  # takes a second, and most verbs never need it

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(bundle_pyproject(), encoding="utf-8")
        return hashlib.sha256(build_fab_from_disk(Path(folder))).hexdigest()
