"""What `polyphony serve` says of a partner's refused requests: a line each, as they are written down; `polyphony status` says more."""

from pathlib import Path

from fedapp.site.request_log import Request
from fedapp.storage.live_files import records
from fedapp.wording import shown


class Refusals:
    """Tells refusals that are new since it was made.

    Args:
        log: The partner's requests.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._size, self._told = self._length(), len(records(log, Request))

    def new(self) -> list[str]:
        """A sentence for each; empty where nothing was refused since."""
        if self._length() == self._size:
            return []
        self._size, asked = self._length(), records(self.log, Request)
        fresh, self._told = asked[self._told :], len(asked)
        return [f"a request was refused: {shown(each.refused)}" for each in fresh if each.refused]

    def _length(self) -> int:
        return self.log.stat().st_size if self.log.is_file() else 0
