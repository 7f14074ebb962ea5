"""The local page: what it shows, whom it answers, and that it asks nobody outside for anything."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.testclient import TestClient

from fedapp.errors import ConfigError
from fedapp.runtime.locks import locked
from fedapp.runtime.processes import free_port
from fedapp.site.folder import COORDINATOR, Site
from fedapp.site.request_log import Request, note_request
from fedapp.site.status.page import page_app, serve_page
from fedapp.site.status.site_status import site_status
from fedapp.storage.json_file import write_sealed
from strategies.coordinator.journal import Awaited, Journal
from strategies.secagg.phases import Step
from tests.site import saved_site
from tests.site.saved_site import Made
from tests.site.status import exposition

HOSTILE = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """A page taken apart: elements in order, and visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A partner in the middle of a run."""
    held = saved_site.fresh(tmp_path / "site", page=8765)
    saved_site.rounds_at(held, Made(6))
    saved_site.beat(held)
    return held


@pytest.fixture
def coordinator(tmp_path: Path) -> Site:
    held = saved_site.fresh(tmp_path / "coordinator", COORDINATOR)
    rounds = [*saved_site.one_round(1), *saved_site.one_round(2, lost=("no reply",)), *saved_site.one_round(3)]
    saved_site.journal_of(held, saved_site.set_up() + rounds)
    return held


def browser(site: Site, host: str = "127.0.0.1:8765") -> TestClient:
    return TestClient(page_app(site), base_url=f"http://{host}")


def shown(site: Site) -> Page:
    return Page(browser(site).get("/").text)


# What it shows


def test_a_partners_page_tells_rounds_scores_and_what_was_sent(site: Site) -> None:
    text = shown(site).text
    assert "5 of 20 rounds" in text
    assert "Connected, and waiting for the coordinator." in text
    assert "180 of 256" in text
    for section in ("Learning", "What was sent", "Requests", "Health", "Roster and policy"):
        assert section in text
    assert site_status(site)["consortium"]["digest"] in text


def test_a_page_tells_what_record_level_privacy_cost_and_only_where_there_is_any(tmp_path: Path, site: Site) -> None:
    noisy = saved_site.fresh(tmp_path / "noisy", config="privacy: {profile: record_dp, epsilon: 6.0, delta: 1.0e-6}\n")
    assert "Record-level privacy spentepsilon 0 of 6 at delta 1e-06" in shown(noisy).text
    assert "Record-level privacy" not in shown(site).text


def test_a_page_of_a_partner_without_a_round_says_what_will_come(tmp_path: Path) -> None:
    page = shown(saved_site.fresh(tmp_path / "site"))
    assert "Curves appear when the first round has been trained." in page.text
    assert "Nothing has been sent yet." in page.text
    assert not page.all("table")


def test_a_refusal_and_a_dead_supernode_stand_on_top_with_what_to_do(site: Site) -> None:
    saved_site.beat(site, age=400)
    note_request(site.state, Request(saved_site.ago(9), 7, Step.COLLECT.value, "6", 9, 0, 0.1, "PolicyError: row guard 3"))
    write_sealed(site.state / "error.json", {"error": "the disk is full", "hint": "free some space"})
    text = shown(site).text
    top = text[: text.index("Learning")]
    for told in (
        "no sign of life",
        "Start the site’s service again",
        "the disk is full",
        "What to do: free some space",
        "1 request refused",
    ):
        assert told in top
    assert "PolicyError: row guard 3" in top


def test_the_coordinators_page_has_rounds_phases_and_drop_outs_and_no_scores(coordinator: Site) -> None:
    with locked(coordinator.coordinator, "polyphony federate"):
        text = shown(coordinator).text
    assert "Running: round 3 of 20 is done." in text
    assert "1 reply left out so far" in text
    for word in ("AUC-PR", "loss", "clipped", "Row guard"):
        assert word not in text


def test_whatever_the_coordinator_or_a_file_says_is_text_and_never_markup(site: Site) -> None:
    note_request(site.state, Request(HOSTILE, 7, HOSTILE, HOSTILE, 9, 0, 0.1, HOSTILE))
    write_sealed(site.state / "error.json", {"error": HOSTILE, "hint": HOSTILE})
    saved_site.beat(site, "answering", step=HOSTILE, round=HOSTILE, error=HOSTILE)
    page = shown(site)
    assert len(page.all("script")) == 1
    assert HOSTILE in page.text


def test_json_and_metrics_are_the_status(site: Site) -> None:
    changing = ("time", "health")
    served, own = browser(site).get("/status.json").json(), site_status(site)
    assert {key: value for key, value in served.items() if key not in changing} == {
        key: value for key, value in own.items() if key not in changing
    }
    answer = browser(site).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert exposition.read(answer.text)["polyphony_round"].samples["", ()] == 5


def test_health_is_503_for_a_party_that_needs_attention(site: Site, coordinator: Site) -> None:
    assert browser(site).get("/health").status_code == 200
    saved_site.beat(site, age=90)
    assert browser(site).get("/health").status_code == 503
    with locked(coordinator.coordinator, "polyphony federate"):
        assert browser(coordinator).get("/health").status_code == 200
    assert browser(coordinator).get("/health").status_code == 503
    write_sealed(coordinator.coordinator / "outcome.json", {"state": "failed", "error": "too few"})
    assert browser(coordinator).get("/health").status_code == 503


# Whom it answers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:8765", "[::1]:8765"])
def test_it_answers_who_calls_it_by_a_loopback_name(site: Site, host: str) -> None:
    assert TestClient(page_app(site)).get("/status.json", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "localhost@evil.example", "10.0.0.5", ""]
)
@pytest.mark.parametrize("path", ["/", "/status.json", "/metrics", "/health", "/nothing"])
def test_a_name_from_elsewhere_that_was_made_to_point_here_gets_nothing(site: Site, host: str, path: str) -> None:
    answer = TestClient(page_app(site)).get(path, headers={"host": host})
    assert answer.status_code == 403
    assert "Birch" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed_through_it(site: Site, method: str) -> None:
    assert browser(site).request(method, "/status.json").status_code == 405


@pytest.mark.parametrize("path", ["/", "/status.json", "/metrics", "/health", "/nothing"])
def test_every_answer_is_closed_to_other_pages_and_to_caches(site: Site, path: str) -> None:
    headers = browser(site).get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert headers["content-security-policy"].startswith("default-src 'none';")


def test_only_the_pages_own_script_and_style_run_by_a_nonce_that_is_new_each_time(site: Site) -> None:
    nonces = set()
    for _ in range(2):
        answer = browser(site).get("/")
        policy, page = answer.headers["content-security-policy"], Page(answer.text)
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
        assert [held["nonce"] for tag in ("script", "style") for held in page.all(tag)] == [nonce, nonce]
        assert "unsafe" not in policy
        assert "connect-src 'self'" in policy
        assert not [tag for tag, held in page.elements for name in held if name == "style" or name.startswith("on")]
        nonces.add(nonce)
    assert len(nonces) == 2


@pytest.mark.parametrize("which", ["site", "coordinator"])
def test_it_asks_nothing_of_anybody_outside(which: str, request: pytest.FixtureRequest) -> None:
    answer = browser(request.getfixturevalue(which)).get("/")
    places = [held[name] for _, held in Page(answer.text).elements for name in ("src", "href", "action", "data", "srcset") if name in held]
    assert all(place.startswith(("/", "#", "data:")) and not place.startswith("//") for place in places)
    assert "@import" not in answer.text
    assert not re.findall(r"url\((?!#)", answer.text)
    assert set(re.findall(r"https?://[^'\"\s]+", answer.text)) <= {"http://www.w3.org/2000/svg"}


@pytest.fixture
def served(site: Site) -> Iterator[psutil.Process]:
    """The page's process, as `polyphony serve` starts it."""
    own = site.changed(page=free_port())
    with subprocess.Popen([sys.executable, "-m", "fedapp.site.run", "page", str(own.path)]) as process:
        deadline = time.monotonic() + 60
        while not answers(own.settings.page):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        yield psutil.Process(process.pid)
        process.terminate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_it_listens_on_loopback_and_nowhere_else(served: psutil.Process) -> None:
    listening = [held.laddr.ip for held in served.net_connections() if held.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


def test_a_site_without_a_port_for_it_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no page"):
        serve_page(saved_site.fresh(tmp_path / "site"))


# For everybody


@pytest.mark.parametrize("which", ["site", "coordinator"])
def test_tables_charts_and_changing_parts_can_be_used_without_eyes_or_mouse(which: str, request: pytest.FixtureRequest) -> None:
    page = shown(request.getfixturevalue(which))
    assert all(held.get("scope") in ("row", "col") for held in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    drawn = [held for held in page.all("svg") if held.get("class") == "chart"]
    assert drawn
    assert all(held["role"] == "img" and re.search(r"in round \d", held["aria-label"]) for held in drawn)
    regions = [held for _, held in page.elements if "scroll" in held.get("class", "").split()]
    assert all(held["tabindex"] == "0" and held["role"] == "region" and held["aria-label"] and held["id"] for held in regions)
    (state,) = [held for _, held in page.elements if held.get("role") == "status"]
    assert state["aria-live"] == "polite"
    links = [held["href"].removeprefix("#") for held in page.all("a") if held["href"].startswith("#")]
    ids = [held["id"] for _, held in page.elements if "id" in held]
    assert links[0] == "main" and set(links) <= set(ids)
    assert len(ids) == len(set(ids))
    assert not [held for _, held in page.elements if int(held.get("tabindex", "0")) > 0]


def test_what_can_be_focused_keeps_its_place_when_the_content_is_renewed(site: Site) -> None:
    focusable = [held for tag, held in shown(site).elements if tag in ("summary", "button", "details") or held.get("tabindex") == "0"]
    assert all("id" in held for held in focusable)


def test_it_goes_on_without_a_script(site: Site) -> None:
    page = shown(site)
    (refresh,) = [held for held in page.all("meta") if held.get("http-equiv") == "refresh"]
    assert refresh["content"] == "10"
    assert page.elements.index(("meta", refresh)) == page.elements.index(("noscript", {})) + 1
    (button,) = page.all("button")
    assert "hidden" in button  # it is the script's


def test_it_follows_the_readers_wishes_for_dark_colours_and_little_movement(site: Site) -> None:
    source = browser(site).get("/").text
    assert "@media (prefers-color-scheme: dark)" in source
    moving = source[source.index("@media (prefers-reduced-motion: no-preference)") :]
    assert source.count("animation:") == 1
    assert "animation:" in moving[: moving.index("@keyframes")]


def test_the_coordinators_page_says_whose_reply_is_awaited(coordinator: Site) -> None:
    Journal(coordinator.coordinator / "journal.jsonl").wait(Awaited(4, "MaskedInputCollection", ["Birch", "Elm"]))
    assert "Waiting for Birch, Elm: MaskedInputCollection of round 4" in shown(coordinator).text
