"""What `polyphony doctor` finds on the way between partner and coordinator: certificates, clocks, ports."""

import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from fedapp.site import checks, reach
from fedapp.site.certificates import new_certificates
from fedapp.site.folder import Site
from tests.site.answering import answering

# The way to the coordinator


def test_a_coordinator_that_is_not_served_fails_the_connection_and_says_whom_to_ask(partner: Site) -> None:
    found = reach.connection(partner)
    assert (found.state, "nobody listens" in found.told) == (checks.State.FAIL, True)
    assert "polyphony serve" in found.hint
    assert reach.clock(partner).state is checks.State.WARN


def test_a_name_that_does_not_resolve_is_told_from_a_port_that_is_closed(partner: Site) -> None:
    found = reach.connection(partner.changed(superlink="coordinator.invalid:9092"))
    assert "no address" in found.told
    assert "superlink" in found.hint


def test_a_coordinator_under_another_authority_is_not_accepted(partner: Site, coordinator: Site, tmp_path: Path) -> None:
    new_certificates(tmp_path / "other", ["127.0.0.1"])
    shutil.copy(tmp_path / "other" / "ca.crt", partner.authority)
    with answering(coordinator):
        found = reach.connection(partner)
    assert (found.state, "is not accepted" in found.told) == (checks.State.FAIL, True)


def test_something_else_that_listens_there_is_not_taken_for_the_coordinator(partner: Site, coordinator: Site) -> None:
    with socket.socket() as held:
        held.bind(reach.address(coordinator))
        held.listen()

        def greet() -> None:
            there, _ = held.accept()
            with there:
                there.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        found = reach.connection(partner)
        thread.join()
    assert (found.state, "is not the coordinator" in found.told) == (checks.State.FAIL, True)


@pytest.mark.parametrize(
    ("behind", "state"),
    [(0.0, "ok"), (2.0, "ok"), (7.0, "FAIL"), (-30.0, "ok"), (-90.0, "FAIL"), (3600.0, "FAIL"), (None, "warn")],
)
def test_a_clock_may_be_a_minute_late_and_hardly_early_since_flower_takes_no_time_from_the_future(
    partner: Site, coordinator: Site, behind: float | None, state: str
) -> None:
    with answering(coordinator, behind):
        assert reach.clock(partner).state == state


def test_flower_still_takes_the_times_that_the_clock_check_is_made_for() -> None:
    from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE

    assert SYSTEM_TIME_TOLERANCE > reach.AHEAD
    assert TIMESTAMP_TOLERANCE > reach.BEHIND


# Certificates


def renewed(consortium: Path, site: Site, days: int, host: str = "127.0.0.1") -> None:
    """Give the coordinator a certificate of the same authority that is valid for so many days more."""
    new_certificates(consortium / "certificates", [host], days)
    for name in ("server.crt", "server.key"):
        shutil.copy(consortium / "certificates" / name, site.tls / name)


def test_a_certificate_that_expired_fails_on_both_sides(consortium: Path, partner: Site, coordinator: Site) -> None:
    renewed(consortium, coordinator, 0)
    time.sleep(1.1)
    found = reach.certificate(coordinator)
    assert (found.state, "expired" in found.told) == (checks.State.FAIL, True)
    with answering(coordinator):
        found = reach.connection(partner)
    assert (found.state, "expired" in found.told) == (checks.State.FAIL, True)


def test_a_certificate_that_expires_within_a_month_is_mentioned_on_both_sides(consortium: Path, partner: Site, coordinator: Site) -> None:
    renewed(consortium, coordinator, 20)
    assert reach.certificate(coordinator).state is checks.State.WARN
    with answering(coordinator):
        assert reach.connection(partner).state is checks.State.WARN


def test_a_certificate_for_another_host_fails(coordinator: Site) -> None:
    found = reach.certificate(coordinator.changed(superlink="polyphony.example.net:9092"))
    assert (found.state, "polyphony.example.net" in found.told) == (checks.State.FAIL, True)


def test_a_port_that_another_program_has_is_not_free(coordinator: Site) -> None:
    with socket.socket() as held:
        held.bind(("0.0.0.0", reach.address(coordinator)[1]))
        held.listen()
        found = reach.port(coordinator)
    assert (found.state, "not to be had" in found.told) == (checks.State.FAIL, True)
