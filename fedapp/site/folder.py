"""One party's installation: `site.yaml` and what lies beside it, at a partner and at the coordinator.

At a partner                                at the coordinator
  site.yaml        role, name, addresses      site.yaml
  config.yaml      the experiment             config.yaml     the same, without the seed
  consortium.yaml  the roster                 consortium.yaml
  consortium-xxxxxxxx.yaml                    consortium-xxxxxxxx.yaml
                   rosters before it
  catalogue.yaml   endpoints that several     catalogue.yaml
                   partners may measure
  policy.yaml      what it accepts            session.yaml    what is proposed to partners
  floor.yaml       the least it ever accepts
  endpoints.csv    which of its tasks are
                   endpoints of these
  ca.crt           whom it takes for the      ca.crt
                   coordinator                tls/            server.crt, server.key
  took-part.json   that it took part, and
                   must have a state
  keys/            identity.*, node.*
  state/           trunk, heads, protocol,    coordinator/    the journal
                   and the model that is kept
  log/             what its processes say     log/
  report.html      what `polyphony report`    report.html
  tasks.csv        wrote last
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from fedapp.config import CATALOGUE, Config, saved_config, with_catalogue
from fedapp.errors import ConfigError
from fedapp.runtime.locks import locked
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text
from fedapp.storage.yaml_file import read_whole

SITE_FILE, CONFIG_FILE, FLOOR_FILE, ENDPOINTS_FILE = "site.yaml", "config.yaml", "floor.yaml", "endpoints.csv"
SITE_VARIABLE = "POLYPHONY_SITE"  # tells the server app where its site is
STATE = "state"  # a partner's private folder (`fedapp.partner_folder`)
PARTNER, COORDINATOR = "partner", "coordinator"
TERMS = {PARTNER: "policy.yaml", COORDINATOR: "session.yaml"}  # of each role, and of no other
HEADER = "# This installation's own settings; `polyphony doctor` checks them.\n"


@dataclass(frozen=True)
class Settings:
    """`site.yaml`.

    Attributes:
        role: `partner` or `coordinator`.
        name: The partner's, as in the roster.
        superlink: `host:port` at which partners reach the coordinator.
        page: Loopback port of the local page; 0 = none.
        dataset: A partner's dataset, relative to the site; None until `polyphony accept` was called.
        listen: Address that the coordinator listens on, with the port of `superlink`.
        proxy: URL of the proxy behind which a partner reaches the coordinator; None = as the environment says (`fedapp.site.proxy`).
    """

    role: str
    name: str
    superlink: str
    page: int = 0
    dataset: str | None = None
    listen: str = "0.0.0.0"  # noqa: S104  partners come from outside
    proxy: str | None = None


def hint_without_settings(path: Path) -> str:
    """What to do about a folder that has no `site.yaml`: one of a site in use has lost it, and `kit install` would not touch the rest."""

    def there(*names: str) -> bool:
        return any((path / name).exists() for name in names)

    back = f"it was a site: bring {SITE_FILE} back from a backup, or copy the kit's there"
    if there(TERMS[COORDINATOR]):
        return f"{back}, and write page and listen as they were"
    if there(TERMS[PARTNER], "took-part.json", STATE) and there(TERMS[PARTNER], CONFIG_FILE):
        return f"{back}; then `polyphony accept {path} {path}/dataset`, and write page and proxy as they were"
    return "`polyphony kit install KIT SITE` makes one of a kit"


@dataclass(frozen=True)
class Site:
    """A site's folder; `Site.open` checks that there is one."""

    path: Path
    settings: Settings

    @classmethod
    def open(cls, path: Path) -> "Site":
        """Read a site.

        Raises:
            ConfigError: No site, or an unusable `site.yaml`.
        """
        file = path / SITE_FILE
        if not file.is_file():
            raise ConfigError(f"{path} is no site: it has no {SITE_FILE}", hint_without_settings(path))
        settings = read_whole(file, Settings, "compare it with the one in the kit")
        if settings.role not in (PARTNER, COORDINATOR):
            raise ConfigError(f"{file}: role is {settings.role!r}", f"it is {PARTNER} or {COORDINATOR}")
        host, _, port = settings.superlink.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise ConfigError(f"{file}: superlink is {settings.superlink!r}, not host:port", "compare it with the one in the kit")
        foreign = TERMS[COORDINATOR if settings.role == PARTNER else PARTNER]
        if (path / foreign).exists() and not (path / TERMS[settings.role]).exists():
            raise ConfigError(
                f"{file}: role is {settings.role}, and {path} has {foreign}, as the other party has", "correct the role there"
            )
        return cls(path.resolve(), settings)

    @classmethod
    def create(cls, path: Path, settings: Settings) -> "Site":
        """Make a site's folder, readable by its owner alone, with its `site.yaml`."""
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        site = cls(path.resolve(), settings)
        site.write_settings()
        return site

    def changed(self, **fields: object) -> "Site":
        """The same site with other settings, written."""
        site = Site(self.path, replace(self.settings, **fields))  # type: ignore[arg-type]
        site.write_settings()
        return site

    @contextmanager
    def changing(self, purpose: str) -> Iterator[None]:
        """Hold the site while its files are changed, against `polyphony serve` and, at a partner, a SuperNode by itself.

        Raises:
            BusyError: Another process holds it; it is named.
        """
        with locked(self.path, purpose), locked(self.state, purpose) if self.partner else nullcontext():
            yield

    def write_settings(self) -> None:
        """Write `site.yaml`."""
        write_text(self.path / SITE_FILE, HEADER + OmegaConf.to_yaml(OmegaConf.structured(self.settings)))

    @property
    def partner(self) -> bool:
        return self.settings.role == PARTNER

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def roster(self) -> Path:
        return self.path / "consortium.yaml"

    @property
    def catalogue(self) -> Path:
        """The endpoints that partners may measure in common, where there are any."""
        return self.path / CATALOGUE

    @property
    def endpoints(self) -> Path:
        """Which of the partner's groups of tasks it declared to be endpoints; its own, and in no kit."""
        return self.path / ENDPOINTS_FILE

    @property
    def took_part(self) -> Path:
        """Says of a partner that took part that it must have a state."""
        return self.path / "took-part.json"

    @property
    def policy(self) -> Path:
        return self.path / "policy.yaml"

    @property
    def floor(self) -> Path:
        """The least that the partner accepts of any kit: its own, and in none."""
        return self.path / FLOOR_FILE

    @property
    def proposal(self) -> Path:
        """What the coordinator proposes, in the form of a policy."""
        return self.path / "session.yaml"

    @property
    def authority(self) -> Path:
        """Certificate of the authority that signed the coordinator's."""
        return self.path / "ca.crt"

    @property
    def tls(self) -> Path:
        return self.path / "tls"

    @property
    def state(self) -> Path:
        """What a partner's rounds leave; private."""
        return self._own(STATE)

    @property
    def coordinator(self) -> Path:
        """What the coordinator's rounds leave: its journal."""
        return self._own("coordinator")

    @property
    def log(self) -> Path:
        return self._own("log")

    @property
    def dataset(self) -> Path:
        """The partner's dataset.

        Raises:
            ConfigError: None was accepted yet.
        """
        if self.settings.dataset is None:
            raise ConfigError(f"{self.path} has no dataset yet", f"`polyphony accept {self.path} DATASET` puts one in play")
        return (self.path / self.settings.dataset).resolve()

    def config(self) -> Config:
        """The experiment; `tasks.catalogue` is this site's own file."""
        return with_catalogue(saved_config(self.path / CONFIG_FILE), self.path)

    def _own(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(PRIVATE_DIRECTORY)
        return folder
