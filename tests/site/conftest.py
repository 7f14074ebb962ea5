"""Sites as the guide sets them up, to be broken by tests."""

import shutil
from pathlib import Path

import pytest

from fedapp.runtime.processes import free_port
from fedapp.site.accept import accept
from fedapp.site.folder import Site
from tests.helpers.small_run import write_dataset
from tests.site.kits import found

OURS = "alpha"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A consortium as the guide sets it up: every partner has its kit and its keys, and one of them its data."""
    founded = found(tmp_path_factory.mktemp("consortium"))
    kits = founded.kits("kits", superlink="127.0.0.1:9092")
    founded.site(kits, "coordinator")
    site = founded.site(kits, OURS)
    write_dataset(founded.path / "data", OURS)
    accept(site, founded.path / "data")
    return founded.path


@pytest.fixture
def consortium(template: Path, tmp_path: Path) -> Path:
    """The same, to be broken, on a port of its own."""
    copied = Path(shutil.copytree(template, tmp_path / "consortium"))
    port = free_port()
    for name in (OURS, "coordinator"):
        Site.open(copied / "sites" / name).changed(superlink=f"127.0.0.1:{port}")
    return copied


@pytest.fixture
def partner(consortium: Path) -> Site:
    return Site.open(consortium / "sites" / OURS)


@pytest.fixture
def coordinator(consortium: Path) -> Site:
    return Site.open(consortium / "sites" / "coordinator")
