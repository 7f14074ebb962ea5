"""Versions of what a result depends on."""

import platform
from functools import cache
from importlib.metadata import version

PACKAGES = ("polyphony", "flwr", "torch", "rdkit", "numpy", "polars")
CHEMISTRY = ("polyphony", "rdkit")  # whose other versions may standardise a structure otherwise


@cache
def versions() -> dict[str, str]:
    """Package to its version; `python` too."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
