"""The way from a partner to the coordinator, direct or through a CONNECT proxy: one for the SuperNode and for `polyphony doctor`.

`proxy` in site.yaml says so for both; where it says nothing, the variables of the environment do that every program knows: HTTPS_PROXY,
or else ALL_PROXY, unless NO_PROXY names the coordinator's host. An address on this machine is never looked for at a proxy.
"""

import ipaddress
import ssl
import urllib.request
from dataclasses import dataclass

import httpx

from fedapp.errors import ConfigError
from fedapp.site.folder import SITE_FILE, Site

PORT = 80  # of a proxy that names none
FORM = "it is http://host:port, or http://user:password@host:port where the proxy wants to know who asks"


@dataclass(frozen=True)
class Proxy:
    """A proxy that is asked to CONNECT; TLS goes through it from end to end.

    Attributes:
        url: With user and password, if it wants them.
        said_by: Who says that it is to be used.
    """

    url: httpx.URL
    said_by: str

    def __str__(self) -> str:
        """Where it is, without the password."""
        host = f"[{self.url.host}]" if ":" in self.url.host else self.url.host
        return f"{host}:{self.url.port or PORT}"

    @property
    def introduced(self) -> bool:
        """Whether it is told who asks."""
        return bool(self.url.userinfo)


def proxy_of(site: Site) -> Proxy | None:
    """The proxy behind which a partner reaches the coordinator; None = there is none.

    Raises:
        ConfigError: What names it is no usable address; tells nothing of a password.
    """
    if site.settings.proxy:
        return parsed(site.settings.proxy, str(site.path / SITE_FILE))
    host = site.settings.superlink.rpartition(":")[0].strip("[]")
    named = urllib.request.getproxies()
    scheme = next((scheme for scheme in ("https", "all") if named.get(scheme)), None)
    if scheme is None or local(host) or excepted(site.settings.superlink, host):
        return None
    return parsed(named[scheme], f"{scheme.upper()}_PROXY")


def local(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def excepted(address: str, host: str) -> bool:
    """Whether NO_PROXY names a host, with its port or without."""
    return bool(urllib.request.proxy_bypass(address) or urllib.request.proxy_bypass(host))


def parsed(text: str, said_by: str) -> Proxy:
    """A proxy by its URL; without a scheme it is http, as elsewhere.

    Raises:
        ConfigError: No usable address.
    """
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ConfigError(f"{said_by} names a proxy by something that is no address", FORM) from error
    if url.scheme != "http":
        raise ConfigError(f"{said_by} names a proxy of the kind {url.scheme}://, which Polyphony does not speak", FORM)
    if not url.host:
        raise ConfigError(f"{said_by} names a proxy without a host", FORM)
    return Proxy(url, said_by)


def http_client(trust: ssl.SSLContext, proxy: Proxy | None, timeout: float) -> httpx.Client:
    """A client that goes this way and no other: neither the environment nor an answer leads it elsewhere.

    Args:
        trust: By which the coordinator is recognised.
        timeout: Seconds, of each step.
    """
    through = httpx.Proxy(proxy.url) if proxy else None
    return httpx.Client(verify=trust, proxy=through, trust_env=False, follow_redirects=False, timeout=timeout)
