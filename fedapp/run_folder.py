"""Where a run keeps what: `runs/<run>/`, the only thing that the command line, the Flower apps and the report have in common."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedapp.config import CONF, Config, load_config, saved_config, to_yaml, with_catalogue
from fedapp.errors import RunError
from fedapp.runtime.versions import versions
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.digests import check_files, file_digests
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text
from fedapp.storage.json_file import ValueType, read_sealed, write_sealed

FACTS: dict[str, ValueType] = {  # what run.json must say
    **dict.fromkeys(("run", "kind", "state", "note"), str),
    "seconds": (int, float),
    "peak_memory": int,
    "rounds": int,
    "partners": list,
    "versions": dict,
}
ENDS = ("finished", "failed")
CONFIG_FILE, FILES = "config.yaml", "files"
KEPT = "restore it from a backup: a run keeps its configuration, and another one is a new run"


@dataclass(frozen=True)
class RunFolder:
    """`config.yaml`, `run.json`, `lock`, `coordinator/`, `partners/<name>/`, and `report.html` when it is written; its owner's alone.

    With common endpoints, `catalogue.yaml` beside them.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config, kind: str) -> "RunFolder":
        """Make a new run folder with its effective configuration.

        Args:
            path: The folder; must not exist.
            kind: `simulate` or `compare`.
        Raises:
            RunError: The folder exists already, or has a name that is no Unicode.
        """
        try:
            str(path.resolve()).encode()
        except UnicodeEncodeError as error:  # in Flower's settings and in our own files it could not be written
            raise RunError(f"{str(path)!r} has bytes that are no UTF-8", "let runs= name another folder") from error
        try:
            path.mkdir(mode=PRIVATE_DIRECTORY, parents=True)
        except FileExistsError as error:
            raise RunError(f"{path} exists already", f"go on with it by --resume {path}, or choose another name") from error
        run = cls(path.resolve())
        run.coordinator.mkdir()
        for name in run.partner_names(config):
            run.partner(name)
        write_text(run.path / CONFIG_FILE, to_yaml(config))
        write_sealed(
            run.path / "run.json",
            {
                "run": path.name,
                "kind": kind,
                "state": "running",
                "started": now(),
                "seconds": 0.0,
                "peak_memory": 0,
                "seed": config.seed,
                "rounds": config.federation.rounds,
                "partners": run.partner_names(config),
                "note": "",
                "versions": versions(),
                FILES: file_digests(run.path, [CONFIG_FILE]),
            },
        )
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run folder.

        Raises:
            RunError: There is none at `path`.
        """
        for name in (CONFIG_FILE, "run.json"):
            if not (path / name).is_file():
                raise RunError(f"{path} is not a run folder: it has no {name}", "give the folder that `polyphony simulate` named")
        return cls(path.resolve())

    def check(self) -> None:
        """Refuse a configuration that is not the one with which the run was begun.

        Raises:
            DamagedFileError: It was altered.
        """
        check_files(self.path, self.status().get(FILES, {}), KEPT)

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.path.name

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder."""
        return self.path / "coordinator"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    def federated(self) -> bool:
        """Whether the federated rounds came to their end."""
        return self.outcome().get("state") == "finished"

    def outcome(self) -> dict[str, Any]:
        """How the federated rounds ended, state and error; empty before they did.

        Raises:
            DamagedFileError: It cannot be read.
        """
        return read_outcome(self.coordinator / "outcome.json")

    def config(self) -> Config:
        """The effective configuration; `tasks.catalogue` is this run's own file."""
        return with_catalogue(self.given_config(), self.path)

    def given_config(self) -> Config:
        """The configuration as it was given, which says where the catalogue comes from."""
        return saved_config(self.path / CONFIG_FILE)

    def status(self) -> dict[str, Any]:
        """The contents of `run.json`.

        Raises:
            DamagedFileError: It is missing or damaged.
        """
        return read_sealed(self.path / "run.json", FACTS, "restore it from a backup, or start a new run")

    def update(self, **fields: Any) -> None:
        """Change fields of `run.json`."""
        write_sealed(self.path / "run.json", self.status() | fields)

    @staticmethod
    def partner_names(config: Config) -> list[str]:
        """`partner-1`, `partner-2`, …"""
        return [f"partner-{index}" for index in range(1, config.data.partners + 1)]

    def partner(self, name: str) -> Path:
        """A partner's own folder, readable by its owner alone."""
        folder = self.path / "partners" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(PRIVATE_DIRECTORY)
        return folder

    def partners(self) -> list[str]:
        """Names of the partners of this run."""
        return list(self.status()["partners"])


def read_outcome(path: Path) -> dict[str, Any]:
    """What the coordinator left when the rounds ended: state, `finished` or `failed`, and error; empty without such a file.

    Raises:
        DamagedFileError: It cannot be read.
    """
    if not path.is_file():
        return {}
    hint = "remove it and go on: rounds that are behind are not repeated"
    outcome = read_sealed(path, {"state": str, "error": str}, hint)
    if outcome["state"] not in ENDS:
        raise DamagedFileError(f"{path} is damaged: its state is {outcome['state']!r:.40}", hint)
    return outcome


def new_run_path(config: Config) -> Path:
    """`<runs>/<name>-<date>-<time>-<process>`."""
    return Path(config.runs) / f"{config.name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid()}"


def bare_config(run_config: Mapping[str, Any]) -> Config:
    """The experiment of a `flwr run .` that names no run folder.

    Raises:
        ConfigError: The experiment does not exist.
    """
    return load_config(CONF / f"{run_config['conf']}.yaml")


def bare_run_path(config: Config, run_id: int) -> Path:
    """The run folder of a bare `flwr run .`; both apps derive it from Flower's run id."""
    return Path(config.runs) / f"flower-{run_id}"


def now() -> str:
    """The time as ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
