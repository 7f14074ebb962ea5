"""What `polyphony doctor` looks at in a site's own files and machine: each check is a function of the site that returns a finding."""

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import metadata, requires, version
from pathlib import Path

import psutil
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fedapp.consortium.agreement import configuration_digest, propose
from fedapp.consortium.identity_files import KEY_FILE, NODE_KEY_FILE, NODE_PUBLIC_FILE, OTHERS, load_identity
from fedapp.consortium.node_key import read_private_key
from fedapp.consortium.passphrase import CREDENTIAL, VARIABLE, is_encrypted
from fedapp.consortium.policy_file import read_policy, read_policy_file
from fedapp.consortium.promises import spoken
from fedapp.consortium.roster_file import load_draft, load_roster
from fedapp.data.dataset import Dataset
from fedapp.errors import ConfigError
from fedapp.partner_folder import PartnerFolder
from fedapp.site.agreed import check_agreed
from fedapp.site.earlier_rosters import load_earlier
from fedapp.site.folder import Site
from fedapp.site.needs import DISK_BASE, DISK_COPIES, WEIGHT, coordinator_memory, partner_memory, weights
from fedapp.site.own_files import unusable_files
from fedapp.site.status.missing import missing
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_lines import whole_lines
from fedapp.wording import plural, size
from strategies.partner.own_transcript import HINT as TRANSCRIPT_HINT
from strategies.secagg.errors import PolicyError, SecAggError
from strategies.secagg.roster import Member, Roster
from strategies.secagg.state import load
from strategies.secagg.transcript import BrokenTranscriptError
from strategies.secagg.transcript import read as read_transcript
from strategies.secagg.transcript_findings import check_proofs

PINNED = ("flwr", "torch", "cryptography")
AMPLE = 3  # times what is needed
EARLIER_HINT = (
    "nothing is added to it any more, and rounds go on: move it away, and find out by a copy of it, if there is one, what was altered"
)


class CheckState(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class CheckFinding:
    """What a check found, and what to do about it; nothing to do if it is `ok`."""

    state: CheckState
    told: str
    hint: str = ""


def ok(told: str) -> CheckFinding:
    """All is well."""
    return CheckFinding(CheckState.OK, told)


def warn(told: str, hint: str) -> CheckFinding:
    """It works, and somebody should look at it."""
    return CheckFinding(CheckState.WARN, told, hint)


def fail(told: str, hint: str) -> CheckFinding:
    """It would not work."""
    return CheckFinding(CheckState.FAIL, told, hint)


def versions(site: Site) -> CheckFinding:  # noqa: ARG001 - every check is asked with the site
    """Python and the packages whose versions rounds depend on."""
    line = f"polyphony {version('polyphony')}, python {platform.python_version()}, "
    line += ", ".join(f"{package} {version(package)}" for package in PINNED)
    wanted = {each.name: each.specifier for each in map(Requirement, requires("polyphony") or []) if each.marker is None}
    installed = {package: (version(package), wanted[package]) for package in PINNED}
    installed["python"] = (platform.python_version(), SpecifierSet(metadata("polyphony")["Requires-Python"]))
    wrong = sorted(name for name, (present, specifier) in installed.items() if not specifier.contains(present, prereleases=True))
    if wrong:
        return fail(
            f"{line}: {', '.join(wrong)} is not what this version was made for", "install polyphony anew in an environment of its own"
        )
    return ok(line)


def application(site: Site) -> CheckFinding:
    """Whether the policy names the bundle of the version that is installed."""
    from fedapp.runtime.bundle import bundle_digest

    bundle, accepted = bundle_digest(), read_policy_file(site.policy if site.partner else site.proposal).applications
    if bundle in accepted:
        return ok(f"{bundle[:16]}… is accepted")
    named = ", ".join(f"{digest[:16]}…" for digest in accepted) or "none"
    return fail(
        f"this version's bundle is {bundle[:16]}…, and the policy accepts {named}",
        "install the version that the consortium runs, or the kit of this version (`polyphony kit install`)",
    )


def roster(site: Site) -> CheckFinding:
    """The roster, by the digest that people compare."""
    roster = load_roster(site.roster)
    return ok(f"{roster.consortium}, {len(roster.members)} partners, threshold {roster.threshold}, digest {spoken(roster.digest())}")


def identity(site: Site) -> CheckFinding:
    """Our own keys are in the roster, under our name."""
    public, roster = load_identity(site.keys).public, load_roster(site.roster)
    named = [member.name for member in roster.members if member.identity == public]
    if named == [site.settings.name]:
        return ok(f"partner {roster.index_of(public)}, {named[0]}, {public.fingerprint()[:17]}…")
    said = f"says {named[0]}" if named else "does not have it"
    ours = f"if we are {named[0]}, correct the name there; else " if named else ""
    return fail(
        f"site.yaml says {site.settings.name}, and the roster {said} for the key in {site.keys / KEY_FILE}",
        f"{ours}put our own keys in place, or send our identity.pub to whoever keeps the roster",
    )


def node_key(site: Site) -> CheckFinding:
    """The key that opens the connection is the one that the coordinator was told."""
    path = site.keys / NODE_KEY_FILE
    if not path.is_file():
        return fail(f"no {path}", f"make one: polyphony identity node {site.keys}")
    public = read_private_key(path).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    if (site.keys / NODE_PUBLIC_FILE).read_text(encoding="utf-8", errors="replace").split()[:2] != public.split():
        return fail(
            f"{site.keys / NODE_PUBLIC_FILE} is not the public half of {path}", f"make both anew: polyphony identity node {site.keys}"
        )
    if load_draft(site.roster).nodes.get(site.settings.name) != public:
        return fail(
            f"the consortium file has another node key for {site.settings.name} than {path}",
            "send our identity.pub to whoever keeps the roster, who calls `polyphony consortium replace`",
        )
    return ok("its public half is in the consortium file")


def passphrase(site: Site) -> CheckFinding:
    """Whether the private keys lie encrypted; both is well, where a disk is nobody else's."""
    present = [path for path in (site.keys / KEY_FILE, site.keys / NODE_KEY_FILE) if path.is_file()]
    clear = [path.name for path in present if not is_encrypted(path)]
    if clear:
        return ok(f"{' and '.join(clear)} in the clear; `polyphony identity passphrase {site.keys}` encrypts the keys")
    names = " and ".join(path.name for path in present) or "no key"
    return ok(
        f"{names} encrypted; whether a service finds the passphrase is not checked here: `polyphony serve` looks when it starts, in the "
        f"file in {VARIABLE}, or for the credential {CREDENTIAL}"
    )


def node_keys(site: Site) -> CheckFinding:
    """The coordinator knows every partner's node key."""
    draft = load_draft(site.roster)
    missing = [member.name for member in draft.members if member.name not in draft.nodes]
    if missing:
        return fail(f"no node key of {', '.join(missing)}", "ask for their identity.pub, and take it in by `polyphony consortium replace`")
    return ok(f"of all {len(draft.members)} partners")


def policy(site: Site) -> CheckFinding:
    """Our policy accepts our own configuration under our own roster."""
    check_agreed(site)
    config, members = site.config(), load_roster(site.roster)
    try:
        read_policy(site.policy).check(propose(config, members))
    except PolicyError as error:  # the policy alone was changed: every session would be refused
        reason = str(error).replace("the coordinator proposes", "our own configuration has")
        return fail(
            reason, "if the consortium agreed on it, install its new kit (`polyphony kit install`); otherwise bring the old files back"
        )
    return ok(f"accepts our configuration {configuration_digest(config).hex()[:16]}…, row guard {config.privacy.row_guard}")


def proposal(site: Site) -> CheckFinding:
    """What the coordinator proposes is of its own roster and trunk."""
    check_agreed(site)
    terms = read_policy_file(site.proposal)
    return ok(f"configuration {terms.configuration[:16]}…, row guard {terms.row_guard}, {plural(terms.rounds, 'round')}")


def modes(site: Site) -> CheckFinding:
    """What is secret is nobody else's to read."""
    wrong = [path for path in private_paths(site) if path.stat().st_mode & OTHERS]
    foreign = [path for path in private_paths(site) if path.stat().st_uid != os.geteuid()]
    if wrong:
        return fail(
            f"open to other users: {', '.join(map(str, wrong))}", f"close it: chmod -R go= {site.path}; if others read a key, make new ones"
        )
    if foreign:
        return fail(f"of another user: {', '.join(map(str, foreign))}", f"run as their owner, or: chown -R {os.geteuid()} {site.path}")
    return ok("keys and state are their owner's alone")


def private_paths(site: Site) -> Iterator[Path]:
    """The site, its folders, and every key in them; only what is there."""
    yield site.path
    for name in ("keys", "state") if site.partner else ("tls", "coordinator"):
        folder = site.path / name
        if folder.is_dir():
            if name != "tls":
                yield folder
            yield from (path for path in sorted(folder.glob("*.key")) if stat.S_ISREG(path.stat().st_mode))


def dataset(site: Site) -> CheckFinding:
    """The dataset is the accepted one, its contents too, and large enough for our policy."""
    from fedapp.site.accept import check_data

    check_data(site)
    data = Dataset.open(site.dataset)
    training, least = len(data.rows_in(site.config().training_folds())), read_policy_file(site.policy).least_compounds
    if training < least:
        return fail(
            f"{training:,} training compounds, and {site.policy} sends no update of fewer than {least:,}",
            "accept a larger dataset, or lower `least_compounds` there if an update may be solved for its compounds",
        )
    return ok(f"{plural(len(data.folds), 'compound')}, {plural(len(data.tasks), 'task')}, {data.digest[:16]}…")


def state(site: Site) -> CheckFinding:
    """The state of earlier rounds is our own, and what every request needs of it can be read."""
    from fedapp.site.accept import check_state

    check_state(site)
    if unusable := unusable_files(site.state):
        return fail("; ".join(each.told for each in unusable), "; ".join(each.hint for each in unusable))
    if lost := missing(site.state):
        return warn("; ".join(lost), "; ".join(dict.fromkeys(lost.values())))
    return ok("it is this site's own, and trunk, protocol and what was repeated can be read")


def transcript(site: Site) -> CheckFinding:
    """Our own transcripts are whole, every line signed and behind the one before, and the one under this roster is there.

    Requests look at the last line of that one alone.
    """
    if site.config().aggregation != "secure":
        return ok("none is written without secure aggregation")
    roster, folder = load_roster(site.roster), PartnerFolder(site.state)
    earlier = [path for path in folder.transcripts() if path != folder.transcript(roster.digest())]
    return _worst([_present_transcript(site, folder, roster), *(_earlier_transcript(site, path) for path in earlier)])


def _present_transcript(site: Site, folder: PartnerFolder, roster: Roster) -> CheckFinding:
    """The transcript under the roster in force."""
    path, member = folder.transcript(roster.digest()), roster.member(roster.index_of(load_identity(site.keys).public))
    found = _verified(path, member, roster, "under this roster", TRANSCRIPT_HINT)
    if found.state is CheckState.OK and not whole_lines(path) and _wrote_a_transcript(folder, roster.digest()):
        return fail(
            f"{path} is missing, and requests were answered under this roster",
            "if it was moved away, another one begins with the next request; if nobody did that, find out who took it, and bring it back",
        )
    return found


def _earlier_transcript(site: Site, path: Path) -> CheckFinding:
    """A transcript under a roster that was in force before; our keys may have been others then."""
    digits = path.stem.rpartition("-")[2]
    try:
        roster = load_earlier(site, digits)
    except ConfigError as error:
        return warn(f"{path} cannot be verified without its roster: {error}", error.hint)
    for member in roster.members:
        if member.name == site.settings.name:
            return _verified(path, member, roster, f"under roster {digits}", EARLIER_HINT)
    return warn(f"{path} cannot be verified: its roster has no {site.settings.name}", "find out whose it is, and move it away")


def _verified(path: Path, member: Member, roster: Roster, where: str, hint: str) -> CheckFinding:
    """Whether a transcript is whole, and of this partner."""
    try:
        entries = read_transcript(whole_lines(path), member, roster.digest())
        check_proofs(member, entries, roster)
    except DamagedFileError as error:
        return fail(str(error), hint)
    except BrokenTranscriptError as error:
        return fail(f"{path}: {error}", hint)
    return ok(f"{plural(len(entries), 'entry')} {where}, whole and signed")


def _worst(found: list[CheckFinding]) -> CheckFinding:
    """Several findings as one: all that are of the worst kind among them."""
    state = max((each.state for each in found), key=list(CheckState).index)
    worst = [each for each in found if each.state is state]
    return CheckFinding(state, "; ".join(each.told for each in worst), "; ".join(dict.fromkeys(each.hint for each in worst if each.hint)))


def _wrote_a_transcript(folder: PartnerFolder, roster_digest: bytes) -> bool:
    """Whether requests were answered under this roster; of one that is new and has none yet the state of earlier ones says nothing."""
    with suppress(FileNotFoundError, SecAggError):  # what is damaged is for another check to tell
        held = load(folder.protocol.read_bytes())
        set_up = held.session or held.shared
        if set_up is not None and set_up.parameters.roster == roster_digest:
            return True
    return folder.begun() and not any(path.stat().st_size for path in folder.transcripts())


def disk(site: Site) -> CheckFinding:
    """Space for the trunk and the states of its rounds."""
    copies = DISK_COPIES if site.partner else 1
    return _enough("disk", shutil.disk_usage(site.path).free, DISK_BASE + copies * WEIGHT * weights(site.config()))


def memory(site: Site) -> CheckFinding:
    """Memory for a round."""
    config = site.config()
    needed = partner_memory(config) if site.partner else coordinator_memory(config, len(load_roster(site.roster).members))
    return _enough("memory", psutil.virtual_memory().available, needed)


def _enough(what: str, free: int, needed: int) -> CheckFinding:
    line = f"{size(free)} free, and about {size(needed)} needed"
    if free < needed:
        return fail(line, f"free some {what}, or move the site to a larger machine")
    if free < AMPLE * needed:
        return warn(line, f"others' use of this {what} could end a round")
    return ok(line)


def masked_sum(site: Site) -> CheckFinding:
    """The protocol works here: a trial among throw-away partners."""
    from fedapp.site.doctor.trial import trial_sum

    tried = trial_sum(load_roster(site.roster), site.config().privacy.word_bits)
    lost = f"partner {tried.dropped} dropped out" if tried.dropped else "nobody may drop out"
    return ok(f"exact among {tried.partners} throw-away partners, {lost}, {tried.seconds:.1f} s")
