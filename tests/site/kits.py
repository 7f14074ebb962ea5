"""A consortium up to its kits: real keys at home, a roster, certificates, and what is made of them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fedapp.config import Config, load_config
from fedapp.consortium.certificates import new_certificates
from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.public_file import load_public
from fedapp.consortium.roster_file import Draft, add_partner, new_consortium
from fedapp.site.floor import DEFAULT, as_strict_as, shortfalls, terms_of, write_floor
from fedapp.site.folder import FLOOR_FILE, Site
from fedapp.site.kit.install import install
from fedapp.site.kit.make import Plan, assignments, make_kits

NAMES = ("alpha", "R&D north", "gamma", "delta")
SUPERLINK = "polyphony.example.org:9092"
SMALL = ("chemistry.bits=256", "model.hidden=[8]", "privacy.row_guard=20")


@cache
def experiment(overrides: tuple[str, ...]) -> Config:
    return load_config(None, overrides)


@dataclass(frozen=True)
class Founded:
    """Where everything lies before there are kits."""

    path: Path

    @property
    def roster(self) -> Path:
        return self.path / "consortium.yaml"

    @property
    def certificates(self) -> Path:
        return self.path / "certificates"

    def keys(self, name: str) -> Path:
        return self.path / "homes" / name / "keys"

    def join(self, name: str) -> None:
        """One more partner makes its keys and is added."""
        new_identity(self.keys(name))
        add_partner(self.roster, name, load_public(self.keys(name) / "identity.pub"))

    def plan(self, *overrides: str, superlink: str = SUPERLINK, seed: int | None = None, certificates: bool = True) -> Plan:
        config = experiment((*SMALL, *overrides, *assignments(self.roster)))
        return Plan(self.roster, config, superlink, self.certificates if certificates else None, seed)

    def kits(self, out: str, *overrides: str, superlink: str = SUPERLINK, seed: int | None = None) -> Path:
        make_kits(self.plan(*overrides, superlink=superlink, seed=seed), self.path / out)
        return self.path / out

    def site(self, kits: Path, name: str) -> Site:
        """Install a kit, and put the partner's keys in place."""
        path = self.path / "sites" / name
        if name in NAMES:
            allow(kits / name, path)
        install(kits / name, path)
        if name in NAMES:
            put_keys(self.keys(name), path)
        return Site.open(path)


def allow(kit: Path, site: Path) -> None:
    """What a partner does that means to accept this kit as it is: its own floor says so, before the kit is installed."""
    terms = terms_of(Site.open(kit))
    if shortfalls(terms, DEFAULT):
        site.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_floor(site / FLOOR_FILE, as_strict_as(terms))


def found(path: Path) -> Founded:
    """Four partners and a coordinator with a certificate."""
    founded = Founded(path)
    new_consortium(founded.roster, Draft("four voices"))
    for name in NAMES:
        founded.join(name)
    new_certificates(founded.certificates, ["polyphony.example.org"])
    return founded


def put_keys(keys: Path, site: Path) -> None:
    """What the kit's README says: copy them, for their owner alone."""
    (site / "keys").mkdir(mode=0o700, exist_ok=True)
    for key in keys.iterdir():
        copied = site / "keys" / key.name
        copied.write_bytes(key.read_bytes())
        copied.chmod(0o600)
