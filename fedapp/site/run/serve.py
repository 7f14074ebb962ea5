"""One party in the foreground: its processes, each started again when it ends."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from fedapp.consortium.identity_files import check_unattended
from fedapp.consortium.roster_file import load_draft
from fedapp.errors import ConfigError, PolyphonyError, RunError
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.flower import DIRECT, QUIET, flower_environment, script, wait_until_listening
from fedapp.runtime.flower_internals import ControlHttpClient, RegisterNodeRequest, RuntimeVersionHttpInterceptor, public_key_to_bytes
from fedapp.runtime.locks import locked
from fedapp.runtime.processes import child, free_port
from fedapp.site.accept import check_data
from fedapp.site.agreed import check_agreed
from fedapp.site.doctor.checks import CheckState, policy
from fedapp.site.floor import check_floor
from fedapp.site.folder import SITE_VARIABLE, Site
from fedapp.site.run.refusals import Refusals
from fedapp.site.took_part import check_not_lost
from fedapp.storage.json_file import read_object, write_json
from fedapp.storage.leftovers import sweep
from fedapp.wording import shown

LOG = getLogger("polyphony")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds before a process is started again
STEADY = 60.0  # seconds after which a process counts as running well
POLL = 0.5
LOG_BYTES = 16 << 20
LAST_BYTES = 4 << 10  # of what a process printed that are looked at for why it ended
SUPERLINK_FILE = "superlink.json"


@dataclass
class Service:
    """A process that is to run for ever, with its output in `log/<name>.out`.

    Attributes:
        name: Of the part.
        command: What to start.
        environment: Beside our own.
        started, printed: When the process that runs was started, and how many bytes its output had then.
        pause: Seconds before it is started again.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=lambda: QUIET)
    started: float = 0.0
    pause: float = FIRST_PAUSE
    printed: int = 0


def serve(site: Site) -> None:
    """Run this party until the process is ended.

    Raises:
        BusyError: Another process serves or changes this site.
        DamagedFileError: It is a partner that took part and has lost its state.
        ConfigError: Its keys are encrypted, and its processes, which have no terminal, would not find the passphrase.
    """
    with locked(site.path, "polyphony serve"):
        sweep(site.path)
        if site.partner:
            check_not_lost(site)
        check_unattended(site.keys)
        for error in refused_for(site):
            LOG.warning("every request will be refused: %s; %s", error, error.hint)
        services = partner_services(site) if site.partner else coordinator_services(site)
        if site.settings.page:
            services.append(Service("page", part(site, "page")))
        run_for_ever(site, services)


def refused_for(site: Site) -> list[PolyphonyError]:
    """What would make this partner, or partners of this coordinator, refuse every request, each once; it is served all the same."""
    found = dict[str, PolyphonyError]()
    for check in (check_floor, check_policy, check_data) if site.partner else (check_agreed,):
        try:
            check(site)
        except PolyphonyError as error:
            found.setdefault(str(error), error)
    return list(found.values())


def check_policy(site: Site) -> None:
    """Refuse a policy that does not accept our own files.

    Raises:
        ConfigError: It does not, or a file is missing or unusable.
    """
    found = policy(site)
    if found.state is CheckState.FAIL:
        raise ConfigError(found.told, found.hint)


def partner_services(site: Site) -> list[Service]:
    """The SuperNode."""
    return [Service("supernode", part(site, "supernode"))]


def coordinator_services(site: Site) -> list[Service]:
    """A SuperLink on loopback, and the gate in front of it."""
    port = free_port()
    write_json(site.log / SUPERLINK_FILE, {"port": port})
    return [Service(name, part(site, name), QUIET | DIRECT) for name in ("superlink", "gate")]


def part(site: Site, name: str) -> list[str]:
    """The command that runs one part of a site."""
    return [sys.executable, "-m", "fedapp.site.run", name, str(site.path)]


def run_for_ever(site: Site, services: list[Service]) -> None:
    """Start all services, and each again when it ends, after a pause that grows while it fails at once; tell what a partner refused."""
    refusals = Refusals(PartnerFolder(site.state).requests) if site.partner else None
    while True:
        with ExitStack() as stack:
            running = {each.name: start(stack, site, each) for each in services}
            LOG.info("serving %s", ", ".join(running))
            while True:
                time.sleep(POLL)
                for told in refusals.new() if refusals else ():
                    LOG.warning("%s; polyphony status %s says more", told, site.path)
                for each in services:
                    rotate(output(site, each))
                    if running[each.name].poll() is not None and time.monotonic() > each.started + each.pause:
                        each.pause = FIRST_PAUSE if time.monotonic() > each.started + STEADY else min(2 * each.pause, LONGEST_PAUSE)
                        words = last_words(output(site, each), each.printed) or "without a word"
                        LOG.warning("%s ended and is started again: %s; its output is %s", each.name, words, output(site, each))
                        running[each.name] = start(stack, site, each)


def start(stack: ExitStack, site: Site, service: Service) -> subprocess.Popen[bytes]:
    """Start a service; its output goes on in the same file."""
    log = output(site, service)
    service.started, service.printed = time.monotonic(), log.stat().st_size if log.is_file() else 0
    return stack.enter_context(child(service.command, log, service.environment))


def last_words(log: Path, printed: int) -> str:
    """Why a process ended, as far as it said so: its last line, and before a hint its error.

    Args:
        printed: Bytes that the log had before the process began; it may have been begun anew since.
    """
    size = log.stat().st_size
    with log.open("rb") as output:
        output.seek(max(printed if printed <= size else 0, size - LAST_BYTES))
        lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    return shown("; ".join(lines[-2:] if lines and lines[-1].startswith("hint: ") else lines[-1:]))


def rotate(log: Path) -> None:
    """Begin a log file anew when it has grown large; the one before is kept. Its writer appends, so it notices nothing."""
    if log.is_file() and log.stat().st_size > LOG_BYTES:
        shutil.copy2(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def output(site: Site, service: Service) -> Path:
    """Where what a service prints goes."""
    return site.log / f"{service.name}.out"


def run_superlink(site: Site) -> None:
    """Flower's SuperLink on loopback with all partners' nodes registered, until it ends or this process does.

    Raises:
        RunError: It ended.
    """
    port, environment = superlink_connection(site)
    command = [
        *(script("flower-superlink"), "--host", "127.0.0.1", "--port", str(port)),
        *("--ssl-certfile", str(site.tls / "server.crt"), "--ssl-keyfile", str(site.tls / "server.key")),
        *("--ssl-ca-certfile", str(site.authority), "--enable-supernode-auth", "--disable-runtime-dependency-installation"),
    ]
    log = site.log / "superlink.log"
    with child(command, log, environment | {SITE_VARIABLE: str(site.path)}) as superlink:
        if wait_until_listening(port, site.authority, lambda: superlink.poll() is None):
            register_nodes(site, port)
        while superlink.poll() is None:
            time.sleep(POLL)
            rotate(log)
    raise RunError("Flower's SuperLink ended", f"its log is {log}")


def superlink_connection(site: Site) -> tuple[int, dict[str, str]]:
    """The SuperLink's loopback port, and the environment that makes the `flwr` command talk to it.

    Raises:
        RunError: The coordinator is not being served.
    """
    path = site.log / SUPERLINK_FILE
    if not path.is_file():
        raise RunError(f"the coordinator of {site.path} is not being served", f"start it: polyphony serve {site.path}")
    port = read_object(path, {"port": int}, f"start the coordinator again: polyphony serve {site.path}")["port"]
    return port, flower_environment(site.log / "flower", port, site.authority)


def register_nodes(site: Site, port: int) -> None:
    """Register all partners' node keys; nobody else's SuperNode gets past the authentication."""
    with ControlHttpClient.from_server_address(
        f"127.0.0.1:{port}",
        insecure=False,
        root_certificates=site.authority.read_bytes(),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    ) as client:
        for name, public in node_keys(site).items():
            client.RegisterNode(RegisterNodeRequest(public_key=public_key_to_bytes(public), name=name))
            LOG.info("%s may connect", name)


def node_keys(site: Site) -> dict[str, EllipticCurvePublicKey]:
    """The partners' node keys, by name."""
    keys = {name: load_ssh_public_key(key.encode()) for name, key in load_draft(site.roster).nodes.items()}
    return {name: key for name, key in keys.items() if isinstance(key, EllipticCurvePublicKey)}  # the roster was checked
