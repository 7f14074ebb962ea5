"""One part of a site as a process of its own; `polyphony serve` starts them."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from fedapp.errors import explained
from fedapp.runtime.private_memory import keep_memory_private
from fedapp.site.folder import Site


def main(name: str, path: str) -> None:
    """Run the part `name` of the site at `path`."""
    keep_memory_private()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every look
    site = Site.open(Path(path))
    match name:
        case "supernode":
            from fedapp.client_app import app
            from fedapp.site.run.supernode import run_supernode

            run_supernode(site, app)
        case "superlink":
            from fedapp.site.run.serve import run_superlink

            run_superlink(site)
        case "gate":
            from fedapp.site.run.gate import serve_gate

            serve_gate(site)
        case "page":
            from fedapp.site.status.page import serve_page

            serve_page(site)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C: in order."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        sys.exit(f"error: {known}\nhint: {known.hint}")
