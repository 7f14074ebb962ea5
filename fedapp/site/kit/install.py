"""A party takes over a kit: the first time, and again whenever roster, experiment or addresses change.

Keys, state, log, dataset and floor are the site's own and stay, as do the settings that nobody else has to know; all else comes from the
kit. A roster that another one replaces is kept by its digest. A kit under whose terms less would be protected than the floor says is
refused before anything of it is taken over. Who enters rests on people who compare digests, so whoever joins, leaves or has new keys is
named.
"""

from dataclasses import replace
from pathlib import Path

from fedapp.config import CATALOGUE, Config, saved_config, to_yaml
from fedapp.consortium.identity_files import KEY_FILE, load_identity
from fedapp.consortium.policy_file import PolicyFile, read_policy_file, write_policy_file
from fedapp.consortium.promises import spoken
from fedapp.consortium.roster_file import load_draft, load_roster
from fedapp.data.catalogue import read_catalogue
from fedapp.data.declarations import read_declarations
from fedapp.errors import ConfigError, DataError, OutputError
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.locks import locked
from fedapp.site.accept import check_first, own_state
from fedapp.site.agreed import check_agreed
from fedapp.site.earlier_rosters import keep_roster
from fedapp.site.floor import LIMITS, Floor, as_strict_as, read_floor, shortfalls, terms_of, tightened, write_floor
from fedapp.site.folder import CONFIG_FILE, FLOOR_FILE, SITE_FILE, Site, hint_without_settings
from fedapp.site.kit.connection import connection_changes
from fedapp.site.kit.make import SERVICES, copy, own_seed
from fedapp.site.kit.members import member_changes
from fedapp.site.terms import differences
from fedapp.storage.files import PRIVATE_DIRECTORY, write_text
from fedapp.storage.live_files import json_object
from fedapp.wording import plural

WEAKER, INSTALLING = " (weaker)", "polyphony kit install"
DIGESTS = ("configuration", "layout", "catalogue", "applications")  # of a policy: people cannot read a meaning from them
ROSTER = "roster"
COPIED = ("consortium.yaml", CATALOGUE, "session.yaml", "ca.crt", "tls/server.key", "tls/server.crt", "README.md")  # where the kit has them


def install(kit: Path, path: Path, new_floor: bool = False) -> list[str]:
    """Take over a kit, as a new site or into an existing one.

    Args:
        kit: One party's folder of `polyphony kit new`.
        path: The site's folder.
        new_floor: Make a floor with the defaults, where a site in use lost its own.
    Returns:
        What changed, a line each: who joins, leaves or has new keys, the coordinator's address and authority, and for a partner its terms,
        what got weaker ending in `WEAKER`; at a new site none but limits of its floor that are tighter than the kit's. See `mark`.
    Raises:
        ConfigError: No kit, one for another party, one whose roster, catalogue or experiment is not what its policy names, one whose
            roster has other keys for this partner than the site, one of an experiment that the rounds which the site has trained are no
            part of, or one below the site's own floor; a new site then has its floor and nothing else. A site in use without a floor.
        OutputError: A new site's folder holds files of the names that a site has.
        BusyError: Another process serves or changes the site.
    """
    given = Site.open(kit)
    known = Site.open(path) if (path / SITE_FILE).is_file() else None
    if given.path == path.resolve():
        raise ConfigError(f"{path} is the kit itself", "name another folder, for the site to live in")
    if known is not None and party(known) != party(given):
        raise ConfigError(f"{kit} is for {party(given)}, and {path} is the site of {party(known)}", "take the kit that was made for it")
    check_agreed(given)
    if given.partner:
        _check_brings_no_floor(given)
        _check_keys(given, path)
    if known is None:
        _check_new(given, path)
    elif given.partner:
        _check_goes_on(given, known)
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    with known.changing(INSTALLING) if known else locked(path, INSTALLING):
        changes = _partner_changes(given, known, path / FLOOR_FILE, new_floor) if given.partner else _common_changes(given, known)
        config = _config(given, known)
        if known:
            keep_roster(known, given.roster)
        site = Site.create(path, replace(known.settings, superlink=given.settings.superlink) if known else given.settings)
        _copy(given, site)
        if site.partner:
            write_policy_file(site.policy, _policy(given, site))
            _take_over_state(site)
        write_text(site.path / CONFIG_FILE, to_yaml(config))
    return changes


def mark(change: str) -> str:
    """What a line of `install` asks of whoever reads it, in a word."""
    about = change.partition(":")[0]
    if change.endswith(WEAKER):
        return "WEAKER"
    return "COMPARE" if about == ROSTER else "yours" if about in LIMITS else "changes"


def party(site: Site) -> str:
    """Whose site it is, in words."""
    return f"the partner {site.settings.name}" if site.partner else "the coordinator"


def _check_new(given: Site, path: Path) -> None:
    """Refuse to make a site of a folder where a person's files have the names of the kit's; keys may be there before it."""
    taken = [name for name in _named(given) if (path / name).exists()]
    if taken:
        raise OutputError(
            f"{path} is no site, and has files of its own that the kit's would replace: {', '.join(taken)}",
            f"name a new folder; or, {hint_without_settings(path)}",
        )


def _check_goes_on(given: Site, known: Site) -> None:
    """Refuse an experiment that the rounds which this site has trained are no part of."""
    after = given.config()
    trained = max(PartnerFolder(known.state).losses_by_round(), default=0)
    if trained > after.federation.rounds:
        check_first(known, f"an experiment of {plural(after.federation.rounds, 'round')}")
    try:
        check_agreed(known)
    except ConfigError:  # what lies there is not what the rounds were trained with, and the kit may well bring that back
        return
    before = known.config()
    folds = [(config.evaluation.validation_fold, config.evaluation.test_fold) for config in (before, after)]
    for name, old, new in (("chemistry", before.chemistry, after.chemistry), ("model", before.model, after.model), ("evaluation", *folds)):
        if old != new:
            check_first(known, f"an experiment with other settings of {name}")


def _named(given: Site) -> list[str]:
    """Files of a kit, relative to it, but for its `site.yaml`."""
    return sorted(
        name
        for file in given.path.rglob("*")
        if file.is_file() and (name := file.relative_to(given.path).as_posix()) != SITE_FILE and not name.startswith("keys/")
    )


def _check_keys(given: Site, path: Path) -> None:
    """Refuse a roster that has other keys for this partner than those that lie in its site."""
    keys = path / "keys"
    if not (keys / KEY_FILE).is_file():
        return
    identity, name = load_identity(keys).public, given.settings.name
    if not any(member.identity == identity and member.name == name for member in load_roster(given.roster).members):
        raise ConfigError(
            f"the key in {keys} is not the one that {given.roster} has for {name}",
            "put the keys in place whose identity.pub was handed out, or have the roster corrected: `polyphony consortium replace`",
        )


def _config(given: Site, known: Site | None) -> Config:
    """The kit's experiment; a seed that nobody else has to know is drawn here, once."""
    config = saved_config(given.path / CONFIG_FILE)
    if not given.partner or config.federation.initial_trunk == "seed":
        return config
    try:
        drawn = known.config().seed if known else own_seed()
    except ConfigError:  # it was lost or damaged, and the kit brings it back
        drawn = own_seed()
    return replace(config, seed=drawn)


def _partner_changes(given: Site, known: Site | None, path: Path, new_floor: bool) -> list[str]:
    """All that this kit changes for a partner, once its floor at `path` allows the kit."""
    made = _make_floor(path, known, new_floor)
    floor = read_floor(path)
    _check_terms(given, floor, path)
    changed = _changes(given, known, floor) if known else []
    return made + changed + _common_changes(given, known) + _tighter_limits(given, floor)


def _check_brings_no_floor(given: Site) -> None:
    brought = given.floor
    if brought.exists() or brought.is_symlink():
        raise ConfigError(
            f"{brought}: a kit has no {FLOOR_FILE}, which is for each site alone to write", "ask whoever made the kit; remove the file"
        )


def _make_floor(path: Path, known: Site | None, anew: bool) -> list[str]:
    """Make a new site's floor. Where one was lost, what it said is not known: it is made anew if a person asks for that, who is told."""
    lost = known is not None or path.is_symlink()  # a link that leads nowhere leads to one
    if path.exists() or (lost and not anew):
        return []
    write_floor(path)
    if lost:
        return [f"floor: there was none; {path} has the defaults: write in what stood there before this site is served{WEAKER}"]
    return []


def _check_terms(given: Site, floor: Floor, path: Path) -> None:
    """Refuse a kit that would have its partner accept less than the site's own floor says."""
    below = shortfalls(tightened(terms_of(given), floor), floor)
    if below:
        listed = "; ".join(f"{name}: {reason}" for name, reason in below.items())
        raise ConfigError(
            f"under {given.path} {given.settings.name} would accept less protection than {path} asks for: {listed}",
            f"ask for a kit that holds it; only if {given.settings.name} means to accept less, edit {path}, and install again",
        )


def _tighter_limits(given: Site, floor: Floor) -> list[str]:
    theirs = read_policy_file(given.policy)
    ours = tightened(theirs, floor)
    return [
        f"{name}: {getattr(ours, name):,} of {FLOOR_FILE}, tighter than the kit's {getattr(theirs, name):,}"
        for name in LIMITS
        if getattr(ours, name) < getattr(theirs, name)
    ]


def _common_changes(given: Site, known: Site | None) -> list[str]:
    """What this kit changes for a partner and for the coordinator alike; nothing at a new site."""
    return connection_changes(given, known) + _roster_changes(given, known) if known else []


def _roster_changes(given: Site, known: Site) -> list[str]:
    """Who joins, leaves or has new keys, and what to compare before it counts."""
    digest, others = load_roster(given.roster).digest(), "every other partner" if given.partner else "every partner"
    compare = (
        f"{ROSTER}: its digest is now {spoken(digest)}: compare it with {others} over the telephone, and not only with who sent this kit, "
        "before the service is started"
    )
    try:
        lines = member_changes(load_draft(known.roster), load_draft(given.roster))
        agreed = {load_roster(known.roster).digest().hex(), read_policy_file(known.policy if known.partner else known.proposal).roster}
    except ConfigError:  # whom this site agreed on is not known any more
        return [compare]
    return lines if agreed == {digest.hex()} else [*lines, compare]


def _changes(given: Site, known: Site, floor: Floor) -> list[str]:
    """Where a site's terms change, and what else of its policy does; what cannot be read any more is not compared."""
    try:
        before, after = terms_of(known), tightened(terms_of(given), floor)
        old, new = vars(read_policy_file(known.policy)), vars(read_policy_file(given.policy))
        endpoints = _endpoint_changes(given, known)
    except (ConfigError, DataError) as error:
        return [f"what this site had before is not known: {error}"]
    weaker = {*shortfalls(after, as_strict_as(before)), *(["noise"] if before.noisy and not after.noisy else [])}
    if after.initial_trunk == "seed":
        weaker.add("first trunk")
    lines = [f"{name}: {how}{WEAKER if name in weaker else ''}" for name, how in differences(before, after).items()]
    return lines + [f"{key}: {old[key]} -> {new[key]}" for key in DIGESTS if old[key] != new[key]] + endpoints


def _endpoint_changes(given: Site, known: Site) -> list[str]:
    """Where the kit says of the common endpoints something else than the site did, and whether we declared what that changes.

    Under a kit without a catalogue declarations rest.
    """
    if not (given.catalogue.is_file() and known.catalogue.is_file()):
        return []
    before, after = (read_catalogue(site.catalogue).by_id for site in (known, given))
    declared = {each.endpoint for each in read_declarations(known.endpoints).values()} if known.endpoints.is_file() else set()
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        changed = [] if old is None or new is None else [key for key in vars(new) if getattr(old, key) != getattr(new, key)]
        how = "is new" if old is None else "is no more" if new is None else f"is another in {', '.join(changed)}"
        void = "; we declared it, and answer nothing until that is accepted again" if name in declared else ""
        lines.append(f"endpoint {name}: {how}{void}")
    return lines


def _policy(given: Site, site: Site) -> PolicyFile:
    """The kit's policy, with the data and the declarations that the site accepted, of which a kit says nothing, and its tighter limits."""
    own = read_policy_file(site.policy) if site.policy.is_file() else None
    policy = replace(read_policy_file(given.policy), data=own.data if own else "", endpoints=own.endpoints if own else [])
    return tightened(policy, read_floor(site.floor))


def _copy(given: Site, site: Site) -> None:
    for name in _named(given):  # what else lies in these folders, such as units of the site's own, stays
        if name in COPIED or name.startswith(f"{SERVICES}/"):
            (site.path / name).parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            copy(given.path / name, site.path / name)


def _take_over_state(site: Site) -> None:
    """After a change of keys: what this partner left under its old ones is its own under the new."""
    owner = PartnerFolder(site.state).owner
    if owner.is_file() and json_object(owner).get("name") == site.settings.name and (site.keys / KEY_FILE).is_file():
        own_state(site)
