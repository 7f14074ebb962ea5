"""Who is left out of the next session or round, and why: who was proven to misbehave, whose seeds were lost, and who was not heard of.

Partners are known by the index that they sign with. A node is only how one is reached, and a partner may come under another one.
"""

from collections import Counter
from collections.abc import Iterable

PROVEN = "it was proven to misbehave, and takes part no more"
LOST = "its seeds were lost in this round, which goes on without it"
LOST_TWICE = "its seeds were lost twice, and it is left alone for a while"
FORGIVEN_AFTER = 100  # rounds: so seldom that partners who lose theirs on purpose cannot use up the sessions that others allow


class Standing:
    """What the coordinator remembers of partners beyond a session.

    Seeds that are lost once may be those of somebody honest, whose reply is lost while another one's shares are wrong: in a round it is
    asked again in the next one; in a set-up the session begins without it, and its node is a newcomer in the next round.

    Attributes:
        guilty: Who was proven to misbehave.
    """

    def __init__(self) -> None:
        self.guilty: set[int] = set()
        self._resting: set[int] = set()  # whose seeds were lost in this very round
        self._losses = Counter[int]()
        self._counted_from = 0  # rounds
        self._partners: dict[int, int] = {}  # by node
        self._unheard: set[int] = set()  # nodes, in the last set-up

    def met(self, node: int, partner: int) -> None:
        """A node showed by a signature whose it is."""
        self._partners[node] = partner

    def lost_seeds(self, partners: Iterable[int]) -> None:
        """Those of these partners could not be found."""
        self._resting |= set(partners)
        self._losses.update(partners)

    def finished(self) -> None:
        """A round was: whose seeds were lost in it once may take part in the next one."""
        self._resting.clear()

    def forgive(self, rounds: int) -> None:
        """Forget lost seeds of long ago, with so many rounds behind the trunk."""
        if rounds - self._counted_from >= FORGIVEN_AFTER:
            self._losses.clear()
            self._counted_from = rounds

    def left_alone(self) -> dict[int, str]:
        """Partners that are not asked to mask, with the reason."""
        twice = [partner for partner, times in self._losses.items() if times > 1]
        return dict.fromkeys(self._resting, LOST) | dict.fromkeys(twice, LOST_TWICE)

    def excluded(self) -> dict[int, str]:
        """Partners that begin no session, with the reason."""
        return self.left_alone() | dict.fromkeys(self.guilty, PROVEN)

    def nodes_of(self, partners: Iterable[int]) -> set[int]:
        """All nodes that these partners came under."""
        wanted = set(partners)
        return {node for node, partner in self._partners.items() if partner in wanted}

    def unheard(self, nodes: set[int]) -> set[int]:
        """Those of the nodes not heard of in a set-up that were heard of in the one before: they are worth another one."""
        again, self._unheard = nodes - self._unheard, nodes
        return again
