"""The local page of a site: its status for people, as JSON and as metrics, on this machine alone.

What it shows is the party's own business, so it listens on loopback, answers only who calls it by a loopback name (a page from elsewhere
whose name was made to point here is refused), changes nothing, and asks the browser to fetch nothing from anywhere else.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedapp import wording
from fedapp.errors import ConfigError
from fedapp.evaluation.arms import mean_name
from fedapp.site.folder import Site
from fedapp.site.status import prometheus, sentences
from fedapp.site.status.curve import Chart, chart
from fedapp.site.status.site_status import site_status
from fedapp.wording import capital

LOOPBACK = "127.0.0.1"
OURS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
FILTERS = ("count", "score", "signed", "percent", "size", "duration", "moment", "short", "plural")
SHOWN = 100  # rounds in a table
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters |= {name: getattr(wording, name) for name in FILTERS}
TEMPLATES.filters |= {"mean_name": mean_name, "capital": wording.capital}
TEMPLATES.filters |= {"ranges": sentences.ranges, "step": sentences.step, "privacy_spent": sentences.privacy_spent}
TEMPLATES.filters |= {"what_predicts": sentences.what_predicts, "shared_head": sentences.shared_head}
TEMPLATES.filters |= {"of_allowed": sentences.of_allowed, "repeated_rounds": sentences.repeated_rounds}


def page_app(site: Site) -> ASGIApp:
    """The page as an ASGI app: `/`, `/status.json`, `/metrics`, and `/health` (200, or 503 if it is down or can answer nothing)."""

    def home(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        return HTMLResponse(render(site_status(site), nonce), headers={"content-security-policy": POLICY.format(nonce=nonce)})

    def status(request: Request) -> Response:
        return JSONResponse(site_status(site))

    def measured(request: Request) -> Response:
        content, content_type = prometheus.exposition_for(request.headers.get("accept", ""), site_status(site))
        return Response(content, headers={"content-type": content_type})

    def health(request: Request) -> Response:
        healthy = site_status(site)["healthy"]
        return JSONResponse({"healthy": healthy}, 200 if healthy else 503)

    endpoints = {"/": home, "/status.json": status, "/metrics": measured, "/health": health}
    return Guard(Starlette(routes=[Route(path, endpoint) for path, endpoint in endpoints.items()]))


def serve_page(site: Site) -> None:
    """Serve the page on loopback until the process is ended.

    Raises:
        ConfigError: The site is to have none.
    """
    if not site.settings.page:
        raise ConfigError(f"{site.path} has no page", "set `page` in its site.yaml to a free port, such as 8765")
    uvicorn.run(
        page_app(site),
        host=LOOPBACK,
        port=site.settings.page,
        http="h11",
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
    )


class Guard:
    """Refuses what is not a GET by a loopback name, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal(scope) or self.app)(scope, receive, guarded)


def refusal(scope: Scope) -> Response | None:
    """The answer to what is refused."""
    hosts = Headers(scope=scope).getlist("host")
    if len(hosts) != 1 or not OURS.fullmatch(hosts[0]):
        return PlainTextResponse("this page answers to localhost and 127.0.0.1 only\n", 403)
    if scope["method"] not in ("GET", "HEAD"):
        return PlainTextResponse("this page is read only\n", 405, {"allow": "GET"})
    return None


def render(status: Mapping[str, Any], nonce: str) -> str:
    """The live page as HTML."""
    mood, sentence = sentences.headline(status)
    return html(status, mood=mood, sentence=sentence, live=True, nonce=nonce, shown=SHOWN)


def html(status: Mapping[str, Any], **more: Any) -> str:
    """A page of this status: the live one, or a report to keep (`fedapp.site.status.report`)."""
    drawn = partner_charts(status) if status["role"] == "partner" else coordinator_charts(status)
    return TEMPLATES.get_template("page.html.j2").render({"s": status, "charts": drawn, "note": "", "tasks": None, "gains": []} | more)


def partner_charts(status: Mapping[str, Any]) -> dict[str, Chart | None]:
    """Learning curves; nothing but numbers."""
    learned, rounds = status["learning"], status["rounds"]
    curves = {name: {entry["round"]: entry[name] for entry in learned} for name in ("validation", "test", "own", "loss")}
    scores = {f"federated model, {fold}": curves[fold] for fold in ("validation", "test")} | {"our own model, validation": curves["own"]}
    return {
        "scores": chart(f"{capital(mean_name(status['score']))} over our tasks by round", scores, rounds, status["selected"]),
        "loss": chart("Mean training loss by round", {"loss": curves["loss"]}, rounds),
    }


def coordinator_charts(status: Mapping[str, Any]) -> dict[str, Chart | None]:
    """Times and sizes of the rounds that are done."""
    done, rounds = [entry for entry in status["made"] if entry["done"]], status["rounds"]
    seconds = {
        "whole round": {entry["round"]: entry["seconds"] for entry in done},
        "the protocol’s share": {entry["round"]: entry["seconds"] - entry["collecting"] for entry in done},
    }
    sizes = {name: {entry["round"]: entry[key] / 1e6 for entry in done} for name, key in (("received", "bytes_up"), ("sent", "bytes_down"))}
    return {
        "seconds": chart("Seconds by round", seconds, rounds, from_zero=True),
        "sizes": chart("Megabytes by round", sizes, rounds, from_zero=True),
    }
