"""What `polyphony doctor` finds on the way between partner and coordinator: certificates, clocks, ports."""

import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from fedapp.consortium.certificates import new_certificates
from fedapp.runtime.flower import PROXIES
from fedapp.site.doctor import checks, network
from fedapp.site.folder import Site
from tests.site.run.answering import answering
from tests.site.run.connect_proxy import ConnectProxy, proxying

# The way to the coordinator


def test_a_coordinator_that_is_not_served_fails_the_connection_and_says_whom_to_ask(partner: Site) -> None:
    found = network.connection(partner)
    assert (found.state, "nobody listens" in found.told) == (checks.CheckState.FAIL, True)
    assert "polyphony serve" in found.hint
    assert network.clock(partner).state is checks.CheckState.WARN


def test_a_name_that_does_not_resolve_is_told_from_a_port_that_is_closed(partner: Site) -> None:
    found = network.connection(partner.changed(superlink="coordinator.invalid:9092"))
    assert "no address" in found.told
    assert "superlink" in found.hint


def test_a_coordinator_under_another_authority_is_not_accepted(partner: Site, coordinator: Site, tmp_path: Path) -> None:
    new_certificates(tmp_path / "other", ["127.0.0.1"])
    shutil.copy(tmp_path / "other" / "ca.crt", partner.authority)
    with answering(coordinator):
        found = network.connection(partner)
    assert (found.state, "is not accepted" in found.told) == (checks.CheckState.FAIL, True)


def test_something_else_that_listens_there_is_not_taken_for_the_coordinator(partner: Site, coordinator: Site) -> None:
    with socket.socket() as held:
        held.bind(network.address(coordinator))
        held.listen()

        def greet() -> None:
            there, _ = held.accept()
            with there:
                there.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        found = network.connection(partner)
        thread.join()
    assert (found.state, "is not the coordinator" in found.told) == (checks.CheckState.FAIL, True)


@pytest.mark.parametrize(
    ("behind", "state"),
    [(0.0, "ok"), (2.0, "ok"), (7.0, "FAIL"), (-30.0, "ok"), (-90.0, "FAIL"), (3600.0, "FAIL"), (None, "warn")],
)
def test_a_clock_may_be_a_minute_late_and_hardly_early_since_flower_takes_no_time_from_the_future(
    partner: Site, coordinator: Site, behind: float | None, state: str
) -> None:
    with answering(coordinator, behind):
        assert network.clock(partner).state == state


def test_flower_still_takes_the_times_that_the_clock_check_is_made_for() -> None:
    from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE

    assert SYSTEM_TIME_TOLERANCE > network.AHEAD
    assert TIMESTAMP_TOLERANCE > network.BEHIND


def test_a_gate_that_does_not_reach_its_superlink_fails_on_both_sides(partner: Site, coordinator: Site) -> None:
    with answering(coordinator, status=503):
        for found in (network.connection(partner), network.port(coordinator)):
            assert (found.state, "not reach the SuperLink" in found.told) == (checks.CheckState.FAIL, True)


# Through a proxy

COORDINATOR = "polyphony.example.org"  # what its certificate is for; nobody but the proxy knows where that is
DEAD = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxy_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def behind(proxy: str | None, partner: Site) -> Site:
    """The partner where the coordinator is found by a proxy alone."""
    return partner.changed(superlink=f"{COORDINATOR}:{network.address(partner)[1]}", proxy=proxy)


def test_the_way_of_doctor_is_through_the_proxy_that_the_site_names(partner: Site, coordinator: Site) -> None:
    with answering(coordinator), proxying(ConnectProxy()) as proxy:
        site = Site.open(behind(proxy.url, partner).path)
        found = network.connection(site)
        assert (found.state, found.told.endswith(f"through the proxy 127.0.0.1:{proxy.port}")) == (checks.CheckState.OK, True)
        assert network.clock(site).state is checks.CheckState.OK
        assert set(proxy.asked) == {site.settings.superlink}


def test_a_proxy_of_the_environment_is_taken_and_it_is_said_that_a_service_may_have_none(
    partner: Site, coordinator: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(coordinator), proxying(ConnectProxy()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        found = network.connection(behind(None, partner))
        assert (found.state, "HTTPS_PROXY" in found.told, "site.yaml" in found.told) == (checks.CheckState.OK, True, True)
        proxy.asked.clear()
        assert network.connection(partner).state is checks.CheckState.OK
        assert network.port(coordinator).state is checks.CheckState.OK
        assert proxy.asked == [], "nothing on this machine is looked for at a proxy"


@pytest.mark.parametrize(
    ("user", "state", "told"),
    [
        ("", "FAIL", "wants to know who asks: 407"),
        ("me:wrong@", "FAIL", "does not accept its user and password: 407"),
        ("me:pass%40word@", "ok", "through the proxy"),
    ],
)
def test_a_proxy_that_wants_to_know_who_asks_is_told(partner: Site, coordinator: Site, user: str, state: str, told: str) -> None:
    with answering(coordinator), proxying(ConnectProxy(user="me:pass@word")) as proxy:
        found = network.connection(behind(f"http://{user}127.0.0.1:{proxy.port}", partner))
    assert (found.state, told in found.told) == (state, True), found
    assert not any(secret in found.told + found.hint for secret in ("wrong", "pass%40", "pass@"))


@pytest.mark.parametrize("status", ["403 Forbidden", "502 Bad Gateway", "200 and hangs up"])
def test_a_proxy_that_does_not_let_us_through_is_named_with_what_it_says(partner: Site, status: str) -> None:
    with proxying(ConnectProxy(status=status)) as proxy:
        found = network.connection(behind(proxy.url, partner))
    assert found.state is checks.CheckState.FAIL
    assert f"the proxy 127.0.0.1:{proxy.port}" in found.told
    assert status[:3] == "200" or (f"does not let us through to {COORDINATOR}" in found.told and status in found.told)


def test_a_proxy_that_is_not_there_is_told_from_a_coordinator_that_is_not(partner: Site) -> None:
    found = network.connection(behind(DEAD, partner))
    assert (found.state, "nobody listens at the proxy 127.0.0.1:9" in found.told) == (checks.CheckState.FAIL, True)
    found = network.connection(behind("http://proxy.invalid:3128", partner))
    assert (found.state, "no address for the proxy proxy.invalid:3128" in found.told) == (checks.CheckState.FAIL, True)


def test_something_else_at_the_proxys_address_is_not_taken_for_one(partner: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:

        def greet() -> None:
            there, _ = held.accept()
            with there:
                there.sendall(b"220 mail.example ESMTP\r\n")
                there.recv(1 << 16)

        thread = threading.Thread(target=greet)
        thread.start()
        found = network.connection(behind(f"http://127.0.0.1:{held.getsockname()[1]}", partner))
        thread.join()
    assert (found.state, "brings us no answer" in found.told) == (checks.CheckState.FAIL, True), found


def test_a_proxy_that_opens_tls_is_not_taken_for_the_coordinator(partner: Site, coordinator: Site, tmp_path: Path) -> None:
    new_certificates(tmp_path / "other", [COORDINATOR])
    for name in ("server.crt", "server.key"):
        shutil.copy(tmp_path / "other" / name, coordinator.tls / name)
    with answering(coordinator), proxying(ConnectProxy()) as proxy:
        found = network.connection(behind(proxy.url, partner))
    assert (found.state, "is not accepted" in found.told, "unopened" in found.hint) == (checks.CheckState.FAIL, True, True)


# Certificates


def renewed(consortium: Path, site: Site, days: int, host: str = "127.0.0.1") -> None:
    """Give the coordinator a certificate of the same authority that is valid for so many days more."""
    new_certificates(consortium / "certificates", [host], days)
    for name in ("server.crt", "server.key"):
        shutil.copy(consortium / "certificates" / name, site.tls / name)


def test_a_certificate_that_expired_fails_on_both_sides(consortium: Path, partner: Site, coordinator: Site) -> None:
    renewed(consortium, coordinator, 0)
    time.sleep(1.1)
    found = network.certificate(coordinator)
    assert (found.state, "expired" in found.told) == (checks.CheckState.FAIL, True)
    with answering(coordinator):
        found = network.connection(partner)
    assert (found.state, "expired" in found.told) == (checks.CheckState.FAIL, True)


def test_a_certificate_that_expires_within_a_month_is_mentioned_on_both_sides(consortium: Path, partner: Site, coordinator: Site) -> None:
    renewed(consortium, coordinator, 20)
    assert network.certificate(coordinator).state is checks.CheckState.WARN
    with answering(coordinator):
        assert network.connection(partner).state is checks.CheckState.WARN


def test_a_certificate_for_another_host_fails(coordinator: Site) -> None:
    found = network.certificate(coordinator.changed(superlink="polyphony.example.net:9092"))
    assert (found.state, "polyphony.example.net" in found.told) == (checks.CheckState.FAIL, True)


def test_a_port_that_another_program_has_is_not_free(coordinator: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PATIENCE", 0.2)  # the other program never says anything
    with socket.socket() as held:
        held.bind(("0.0.0.0", network.address(coordinator)[1]))
        held.listen()
        found = network.port(coordinator)
    assert (found.state, "not to be had" in found.told) == (checks.CheckState.FAIL, True)
