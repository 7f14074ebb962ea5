"""Which proxy a partner's connection goes through: what site.yaml says, else what the environment says, and none to this machine."""

import urllib.request
from pathlib import Path

import pytest

from fedapp.client_app import app
from fedapp.errors import ConfigError
from fedapp.runtime.flower import DIRECT, PROXIES
from fedapp.site.folder import PARTNER, Settings, Site
from fedapp.site.proxy import proxy_of
from fedapp.site.run.serve import coordinator_services, partner_services
from fedapp.site.run.supernode import STATE_FILE, run_supernode
from fedapp.storage.json_file import read_json

THERE = "coordinator.example.org:9092"


@pytest.fixture(autouse=True)
def no_proxy_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def found(superlink: str = THERE, proxy: str | None = None) -> str:
    """The proxy of such a site, in words; "" = none."""
    return str(proxy_of(Site(Path("site"), Settings(PARTNER, "alpha", superlink, proxy=proxy))) or "")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("url", ["http://proxy.example:3128", "proxy.example:3128", "http://me:pass%40word@proxy.example:3128/"])
def test_the_environment_names_a_proxy_in_the_usual_forms(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    assert found() == "proxy.example:3128"


def test_a_proxy_for_http_is_none_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert found() == ""


def test_the_one_for_https_goes_before_the_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all.example:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://https.example:2")
    assert found() == "https.example:2"


@pytest.mark.parametrize("without", ["coordinator.example.org", ".example.org", "example.org", "a.test, coordinator.example.org:9092", "*"])
def test_a_coordinator_that_no_proxy_names_is_reached_without_one(monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", without)
    assert found() == ""
    assert found("coordinator.example.net:9092") == ("" if without == "*" else "proxy.example:3128")


@pytest.mark.parametrize("superlink", ["127.0.0.1:9092", "127.8.9.10:9092", "localhost:9092", "[::1]:9092"])
def test_this_machine_is_never_looked_for_at_a_proxy(monkeypatch: pytest.MonkeyPatch, superlink: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert found(superlink) == ""


def test_what_the_site_says_holds_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://another.example:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    assert found(proxy="http://[fd00::1]:3128") == "[fd00::1]:3128"


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@proxy.example:1080", "https://me:secret@proxy.example", "http://me:secret@", "http://me:secret@proxy:port"]
)
def test_what_is_no_proxy_that_we_speak_to_is_refused_by_where_it_is_named_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(ConfigError, match=r"site\.yaml") as refused:
        found(proxy=url)
    assert "secret" not in str(refused.value) + refused.value.hint
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(ConfigError, match="ALL_PROXY"):
        found()


def test_what_talks_to_this_machine_alone_is_told_of_no_proxy_and_a_partners_supernode_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, coordinator: Site, partner: Site
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "socks5://proxy.example:1080")
        monkeypatch.setenv(name.lower(), "socks5://proxy.example:1080")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    for service in partner_services(partner):
        assert not DIRECT.keys() & service.environment.keys()
    for service in coordinator_services(coordinator):
        assert service.environment.items() >= DIRECT.items()
    for name, value in DIRECT.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.getproxies() == {"no": "*"}


def test_a_supernode_that_cannot_start_for_its_proxy_says_so_in_its_status(partner: Site) -> None:
    with pytest.raises(ConfigError, match="socks5"):
        run_supernode(partner.changed(proxy="socks5://proxy.example:1080"), app)
    told = read_json(partner.log / STATE_FILE)
    assert (told["state"], "socks5" in told["error"]) == ("stopped", True)
