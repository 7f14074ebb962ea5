"""What `polyphony doctor` tries between partner and coordinator: certificates, the way there, and the clocks."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from fedapp.consortium.certificates import SERVER, SERVER_KEY, certificate_facts
from fedapp.site.doctor.checks import CheckFinding, fail, ok, warn
from fedapp.site.folder import SITE_FILE, Site
from fedapp.site.proxy import FORM, Proxy, http_client, proxy_of

PATIENCE = 5.0  # seconds to wait for an answer
SOON = 30  # days before it expires that a certificate is mentioned
# Flower takes a node's signed time if it is at most 5 s ahead of the coordinator's clock (`SYSTEM_TIME_TOLERANCE`), and 305 s behind.
AHEAD, BEHIND = 4.0, 60.0  # seconds
RENEW = "ask the coordinator for a new one (`polyphony certificates new`)"


@dataclass(frozen=True)
class Answer:
    """How the coordinator answered.

    Attributes:
        expires: The end of its certificate, seconds since 1970.
        ahead: Seconds that our clock is ahead of its; None if it tells no time.
        whole: Whether its gate reaches the SuperLink.
    """

    expires: float
    ahead: float | None
    whole: bool


def address(site: Site) -> tuple[str, int]:
    """Where partners reach the coordinator."""
    host, _, port = site.settings.superlink.rpartition(":")
    return host.strip("[]"), int(port)


def ask(site: Site, proxy: Proxy | None = None, host: str | None = None) -> Answer:
    """Say hello over TLS, verified with the site's authority, on the way that the SuperNode takes.

    Args:
        proxy: The only way there, if there is one.
        host: Where to; its certificate must be for the configured host in any case.
    Raises:
        OSError, httpx.HTTPError: No way there, nobody who answers, or not the coordinator.
    """
    named, port = address(site)
    to = host or named
    url = f"https://[{to}]:{port}/health" if ":" in to else f"https://{to}:{port}/health"
    trust = ssl.create_default_context(cafile=str(site.authority))
    before = time.time()
    with http_client(trust, proxy, PATIENCE) as client, client.stream("GET", url, extensions={"sni_hostname": named}) as response:
        middle = (before + time.time()) / 2
        certificate = response.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
        date = response.headers.get("date")
    expires = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    ahead = middle - parsedate_to_datetime(date).timestamp() - 0.5 if date else None  # a Date has whole seconds
    return Answer(expires, ahead, response.is_success)


def authority(site: Site) -> CheckFinding:
    """The authority's certificate is there and valid."""
    facts = certificate_facts(site.authority)
    line = f"{site.authority.name} is valid until {facts.ends:%Y-%m-%d}"
    if not facts.authority:
        return fail(f"{site.authority} is not an authority's certificate", "put the consortium's ca.crt there, from the kit")
    if facts.early() or facts.days_left() < 0:
        hint = "set this machine's clock right, or ask the coordinator for the consortium's new ca.crt"
        return fail(f"{line}, from {facts.begins:%Y-%m-%d}: not today", hint)
    return warn(line, "agree with the consortium on a new authority") if facts.days_left() < SOON else ok(line)


def certificate(site: Site) -> CheckFinding:
    """The coordinator's certificate as a partner would see it: a handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(site.tls / SERVER, site.tls / SERVER_KEY, password="")
    except (OSError, ValueError) as error:
        return fail(f"{site.tls / SERVER} and {SERVER_KEY} are not usable: {error}", "`polyphony certificates new` makes both")
    try:
        handshake(server, ssl.create_default_context(cafile=str(site.authority)), address(site)[0])
    except ssl.SSLCertVerificationError as error:
        return fail(
            f"partners would refuse {site.tls / SERVER}: {error.verify_message}",
            f"make one for {address(site)[0]}: polyphony certificates new",
        )
    facts = certificate_facts(site.tls / SERVER)
    line = f"for {', '.join(facts.hosts)}, until {facts.ends:%Y-%m-%d}"
    return warn(line, "renew it soon: polyphony certificates new") if facts.days_left() < SOON else ok(line)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Let a client meet a server without a network.

    Raises:
        ssl.SSLError: They do not come to terms.
    """
    down, up = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


def connection(site: Site) -> CheckFinding:
    """The coordinator answers, and is who it should be, on the way that the SuperNode takes."""
    proxy = proxy_of(site)
    try:
        answer = ask(site, proxy)
    except (OSError, httpx.HTTPError) as error:
        return unreached(site, proxy, error)
    days = int((answer.expires - time.time()) // 86400)
    until = datetime.fromtimestamp(answer.expires, UTC)
    line = f"the coordinator answers at {site.settings.superlink}; its certificate is valid until {until:%Y-%m-%d}"
    line += through(site, proxy)
    if not answer.whole:
        return fail(f"{line}; but its gate does not reach the SuperLink behind it", "it may be starting: try again, or ask the coordinator")
    return warn(line, RENEW) if days < SOON else ok(line)


def through(site: Site, proxy: Proxy | None) -> str:
    """By which way, in words."""
    if proxy is None:
        return ""
    if site.settings.proxy:
        return f"; through the proxy {proxy}"
    return f"; through the proxy {proxy} that {proxy.said_by} names here, and a service only if `proxy` in {SITE_FILE} does"


def unreached(site: Site, proxy: Proxy | None, error: Exception) -> CheckFinding:
    """Why the coordinator was not reached, and whose business that is."""
    where, reason = site.settings.superlink, cause(error)
    if isinstance(reason, FileNotFoundError):
        return fail(f"no {site.authority} to know the coordinator by", "put the consortium's ca.crt there, from the kit")
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = f"compare ca.crt with the kit's, and both clocks; {RENEW}"
        if proxy:
            hint = f"the proxy {proxy} must let TLS to {where} through as it is, unopened; {hint}"
        return fail(f"the certificate at {where} is not accepted: {reason.verify_message}", hint)
    if proxy and not isinstance(reason, ssl.SSLError):
        return turned_away(site, proxy, error, reason)
    if isinstance(reason, ssl.SSLError | httpx.RemoteProtocolError | httpx.ReadError):
        at = f"{where} through the proxy {proxy}" if proxy else where
        return fail(
            f"what answers at {at} is not the coordinator: {reason}",
            "a proxy or another program is in between: ask your network's people",
        )
    if isinstance(reason, socket.gaierror):
        return fail(
            f"no address for {where}: {reason.strerror}", "compare `superlink` in site.yaml with the kit; the name must resolve here"
        )
    if isinstance(reason, ConnectionRefusedError):
        return fail(f"nobody listens at {where}", "ask whether `polyphony serve` runs at the coordinator, and on which port")
    return fail(
        f"no way to {where}: {reason}",
        f"let a firewall on the way pass TCP to this host and port, or name the proxy to take: `proxy` in {SITE_FILE}",
    )


def turned_away(site: Site, proxy: Proxy, error: Exception, reason: Exception) -> CheckFinding:
    """Why a proxy did not let us through to the coordinator."""
    where, at = site.settings.superlink, f"the proxy {proxy} ({proxy.said_by})"
    if isinstance(reason, httpx.ProxyError):
        if str(reason).startswith("407"):
            objection = "does not accept its user and password" if proxy.introduced else "wants to know who asks"
            return fail(f"{at} {objection}: {reason}", f"correct `proxy` in {SITE_FILE}: {FORM}")
        return fail(
            f"{at} does not let us through to {where}: {reason}",
            "ask your network's people to allow CONNECT to this host and port, and the coordinator whether it is being served",
        )
    if isinstance(reason, socket.gaierror):
        return fail(f"no address for {at}: {reason.strerror}", f"correct `proxy` in {SITE_FILE}: {FORM}")
    if isinstance(reason, ConnectionRefusedError):
        return fail(f"nobody listens at {at}", f"correct `proxy` in {SITE_FILE}: {FORM}")
    return fail(f"{at} brings us no answer of {where}: {reason or type(error).__name__}", "ask your network's people what became of it")


def cause(error: Exception) -> Exception:
    """The error of the socket that lies behind one of the client, where there is one."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__context__
    return inner if isinstance(inner, Exception) else error


def clock(site: Site) -> CheckFinding:
    """Our clock against the coordinator's."""
    try:
        ahead = ask(site, proxy_of(site)).ahead
    except (OSError, httpx.HTTPError):
        return warn("not compared: the coordinator was not reached", "see connection")
    if ahead is None:
        return warn("not compared: the coordinator does not tell its time", "see that both machines keep time by NTP")
    line = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
    if ahead > AHEAD or ahead < -BEHIND:
        return fail(f"{line}: Flower would refuse our connection", "keep time by NTP on both machines")
    return ok("as the coordinator's" if abs(ahead) < 1 else line)


def port(site: Site) -> CheckFinding:
    """The public port is free, or our own gate listens there."""
    number, host = address(site)[1], site.settings.listen
    with listening(host, number) as error:
        if error is None:
            return ok(f"{host}:{number} is free")
    if isinstance(error, PermissionError):
        return fail(f"{host}:{number}: {error.strerror}", "choose a port above 1023, or let the service bind this one")
    try:
        answer = ask(site, host="127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host)  # noqa: S104
    except (OSError, httpx.HTTPError):
        return fail(
            f"{host}:{number} is not to be had: {error.strerror}", "end the other program, or correct `listen` and `superlink` in site.yaml"
        )
    line = f"our own gate listens on {host}:{number}"
    if not answer.whole:
        hint = f"it may be starting: try again; its log is {site.log}/superlink.log"
        return fail(f"{line}, and does not reach the SuperLink behind it", hint)
    return ok(line)


@contextmanager
def listening(host: str, number: int) -> Iterator[OSError | None]:
    """Hold a port for a moment; what stands against it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
            probe.listen()
        except OSError as error:
            yield error
            return
        yield None
