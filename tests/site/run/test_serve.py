"""What `polyphony serve` says when one of its processes ends: why, as far as that said so itself."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedapp.site.folder import Site
from fedapp.site.run import serve as serving
from fedapp.site.run.serve import Service
from tests.site import saved_site

SECONDS = 60.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return saved_site.fresh(tmp_path / "site")


@pytest.fixture
def told(site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[Service], str]:
    """Serves until a process has ended, and says what was told of it."""
    sleep, looks = serving.time.sleep, iter(range(int(SECONDS / 0.05)))

    def look(_: float) -> None:
        if caplog.messages or next(looks, None) is None:
            raise KeyboardInterrupt
        sleep(0.05)

    def serve(service: Service) -> str:
        monkeypatch.setattr(serving.time, "sleep", look)
        with pytest.raises(KeyboardInterrupt):
            serving.run_for_ever(site, [service])
        return caplog.messages[0]

    return serve


def ending(words: str) -> Service:
    return Service("page", [sys.executable, "-c", f"import sys; sys.exit({words!r})"], pause=0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("first\nlast", "last"),
        ("warning\nerror: no key\nhint: make one", "error: no key; hint: make one"),
        ("\x1b[2Kgone", "\\x1b[2Kgone"),
        ("", "without a word"),
    ],
)
def test_a_process_that_ended_is_told_with_its_last_words(words: str, said: str, site: Site, told: Callable[[Service], str]) -> None:
    (site.log / "page.out").write_text("of the process before\n")
    assert told(ending(words)) == f"page ended and is started again: {said}; its output is {site.log / 'page.out'}"


def test_a_log_that_was_begun_anew_has_the_last_words_all_the_same(site: Site) -> None:
    log = site.log / "page.out"
    log.write_text("gone\n")
    assert serving.last_words(log, 10_000) == "gone"
    log.write_text("x" * 10_000 + "\ngone\n")
    assert serving.last_words(log, 0) == "gone"


def test_the_page_of_a_site_that_is_served_twice_says_that_its_port_is_taken(site: Site, told: Callable[[Service], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site.changed(page=taken.getsockname()[1])
        assert "address already in use" in told(Service("page", serving.part(site, "page")))
