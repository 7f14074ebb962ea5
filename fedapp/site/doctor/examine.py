"""Whether a site would work: every check by its name, and what to do about those that fail."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fedapp.errors import PolyphonyError
from fedapp.site.doctor import checks, network, protection
from fedapp.site.doctor.checks import CheckFinding, CheckState, fail
from fedapp.site.folder import Site
from strategies.secagg.errors import SecAggError

Check = Callable[[Site], CheckFinding]
AT_BOTH: dict[str, Check] = {"versions": checks.versions, "files": checks.modes, "roster": checks.roster}
AT_PARTNER: dict[str, Check] = {
    "identity": checks.identity,
    "node key": checks.node_key,
    "passphrase": checks.passphrase,
    "policy": checks.policy,
    "floor": protection.floor,
    "supporters": protection.supporters,
    "application": checks.application,
    "authority": network.authority,
    "connection": network.connection,
    "clock": network.clock,
    "dataset": checks.dataset,
    "rows": protection.rows,
    "endpoints": protection.endpoints,
    "state": checks.state,
    "transcript": checks.transcript,
    "self-audit": protection.self_audit,
    "disk": checks.disk,
    "memory": checks.memory,
    "masked sum": checks.masked_sum,
}
AT_COORDINATOR: dict[str, Check] = {
    "node keys": checks.node_keys,
    "proposal": checks.proposal,
    "application": checks.application,
    "authority": network.authority,
    "certificate": network.certificate,
    "port": network.port,
    "disk": checks.disk,
    "memory": checks.memory,
    "masked sum": checks.masked_sum,
}


@dataclass(frozen=True)
class Examined:
    """One check and what it found."""

    check: str
    state: CheckState
    told: str
    hint: str


def examine(site: Site) -> Iterator[Examined]:
    """Make every check of the site's party, one after the other."""
    for name, check in (AT_BOTH | (AT_PARTNER if site.partner else AT_COORDINATOR)).items():
        finding = made(check, site)
        yield Examined(name, finding.state, finding.told, finding.hint)


def made(check: Check, site: Site) -> CheckFinding:
    """What a check finds; one that cannot be made has failed, and says why."""
    try:
        return check(site)
    except PolyphonyError as error:
        return fail(str(error), error.hint)
    except SecAggError as error:
        return fail(str(error), getattr(error, "hint", "") or "put right what fails above, or bring the file back")
    except Exception as error:  # whatever it was, the other checks still tell something
        return fail(f"{type(error).__name__}: {error}", "put this right first; if it is no problem of this site, report it")
