"""The app bundle: what it holds, and that its digest is the one that Flower's SuperLink will know it by."""

import hashlib
import io
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

from fedapp.runtime.bundle import APP, bundle_digest, bundle_pyproject
from simulation.submit import submission
from tests.helpers.small_run import small_run


def built(folder: Path) -> bytes:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(bundle_pyproject())
    return build_fab_from_disk(folder)


def test_the_digest_is_that_of_the_bundle_which_flower_builds_wherever_it_is_built(tmp_path: Path) -> None:
    bundles = [built(tmp_path / name) for name in ("app", "another")]
    assert {hashlib.sha256(bundle).hexdigest() for bundle in bundles} == {bundle_digest()}


def test_a_bundle_names_the_installed_version_and_its_components_and_has_no_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(built(tmp_path / "app"))) as bundle:
        assert sorted(bundle.namelist()) == [".info/CONTENT", "pyproject.toml"]
        assert {each.compress_type for each in bundle.infolist()} == {zipfile.ZIP_STORED}  # no zlib's version is in the digest
        project = tomllib.loads(bundle.read("pyproject.toml").decode())
    assert project["project"] == {"name": "polyphony", "version": version("polyphony"), "license": "Apache-2.0"}
    assert project["tool"]["flwr"]["app"]["components"] == {"serverapp": "fedapp.server_app:app", "clientapp": "fedapp.client_app:app"}
    assert project["tool"]["flwr"]["app"]["config"] == {"conf": "demo", "run-dir": ""}


def test_a_simulation_starts_the_same_bundle(tmp_path: Path) -> None:
    submission(small_run(tmp_path / "run"), tmp_path)
    assert (tmp_path / "app" / "pyproject.toml").read_text() == bundle_pyproject()


def test_flower_finds_the_same_app_in_the_source_tree() -> None:
    ours = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert ours["tool"]["flwr"]["app"] == APP
