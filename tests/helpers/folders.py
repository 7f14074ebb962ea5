"""What lies in a folder."""

from pathlib import Path


def names(folder: Path) -> list[str]:
    """Names of all files and folders in it, hidden ones too, sorted."""
    return sorted(path.name for path in folder.iterdir())
