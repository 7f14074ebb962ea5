"""The seeds that take the masks off a sum, at the coordinator: from survivors themselves, or from the others' shares of them.

PROTOCOL.md, section 4. A survivor that answers says its own seeds, and a hash that it signed before says that they are right. Where one is
silent or lies, the shares that the others hold are decoded around wrong ones. Either way everybody's shares are held against the seeds, so
that whoever revealed a wrong one is named, also where nothing depended on it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from strategies.secagg import keys, shamir
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.decoding import combined, decode, decode_all
from strategies.secagg.errors import NotEnoughSharesError, WrongShareError, WrongSharesError
from strategies.secagg.keystream import keystream
from strategies.secagg.messages import MaskedInput
from strategies.secagg.proofs import commitment
from strategies.secagg.shares import secrets_of

WEIGHT_BYTES = 16


@dataclass(frozen=True)
class Off:
    """What is wrong with shares of some dealers' seeds.

    Attributes:
        holders: Who revealed wrong ones, as far as that can be told.
        least: How many did at the least, if the dealers dealt what they committed to.
    """

    holders: tuple[int, ...]
    least: int


@dataclass(frozen=True)
class Unmasking:
    """What survivors answered.

    Attributes:
        session, number, cohort: Of the round.
        dropped: Who dropped out.
        inputs: Of the survivors, with their commitments.
        answers: What they revealed.
        said: Seeds that survivors revealed of their own, and that fit their commitments: dealer to partner to seed.
        threshold: Shares that determine a seed.
        tolerated: Partners that may misbehave.
    """

    session: bytes
    number: int
    cohort: tuple[int, ...]
    dropped: tuple[int, ...]
    inputs: Mapping[int, MaskedInput]
    answers: Mapping[int, UnmaskReply]
    said: Mapping[int, Mapping[int, bytes]]
    threshold: int
    tolerated: int

    def seeds(self) -> dict[int, dict[int, bytes]]:
        """Dealer to partner to seed; itself for its self mask. Those are missing, and lost, that a dealer did not say and that do not
        follow from the shares, either."""
        found = {dealer: dict(said) for dealer, said in self.said.items()}
        for dealer in sorted(set(self.inputs) - set(found)):
            with suppress(NotEnoughSharesError, WrongSharesError):
                found[dealer] = self._decoded(dealer)
        return found

    def wrong(self, seeds: Mapping[int, Mapping[int, bytes]]) -> dict[int, WrongShareError]:
        """Who revealed shares that do not fit the seeds, or dealt such, and what is wrong with them.

        All shares are checked at once; where that finds something, or a holder says that some do not open, those of each dealer by
        themselves, so that whoever says so is checked for all the others. A dealer is named where more shares of its seeds are wrong, or do
        not open, than partners may misbehave, also where its seeds are lost. Where so few dealers' shares are wrong at a holder that it
        could be they who lie, all of them are named beside it, and each as one of two. No holder is named where so many are wrong that it
        cannot be told who, and where as many as may misbehave could have made those who are right look wrong.
        """
        dealers = sorted(seeds)
        if not any(answer.unopened for answer in self.answers.values()) and (not dealers or self._off(dealers, seeds).least == 0):
            return {}
        off = {dealer: self._off([dealer], seeds) for dealer in dealers}
        least = {dealer: off[dealer].least if dealer in off else 0 for dealer in sorted(self.inputs)}
        guilty = [dealer for dealer in least if least[dealer] + self._unopened(dealer) > self.tolerated]
        found: defaultdict[int, list[int]] = defaultdict(list)
        for dealer in dealers:
            for holder in () if dealer in guilty else off[dealer].holders:
                found[holder].append(dealer)
        doubtful: defaultdict[int, list[int]] = defaultdict(list)
        for holder, wrong in found.items():
            for dealer in wrong if len(wrong) <= self.tolerated else ():
                doubtful[dealer].append(holder)
        errors = {dealer: self._dealt_wrong(dealer, doubtful[dealer]) for dealer in sorted(doubtful)}
        errors |= {holder: self._revealed_wrong(holder, found[holder]) for holder in sorted(found)}
        return errors | {
            dealer: WrongShareError(dealer, "what it dealt is not what it committed to, does not open, or was altered on its way")
            for dealer in guilty
        }

    def _off(self, dealers: list[int], seeds: Mapping[int, Mapping[int, bytes]]) -> "Off":
        """What is wrong with the shares of these dealers' seeds, at holders who could open those of all of them."""
        places = [place for place, (dealer, _) in enumerate(self._words) if dealer in dealers]
        weights, words = [self._weights[place] for place in places], [self._words[place] for place in places]
        opened = {
            holder: [self._revealed[holder][place] for place in places]
            for holder, answer in self.answers.items()
            if not {*dealers} & {*answer.unopened}
        }
        total = sum(weight * int.from_bytes(seeds[dealer][about], "big") for weight, (dealer, about) in zip(weights, words, strict=True))
        try:
            decoded = decode(combined(opened, weights), self.threshold, (total % shamir.PRIME).__eq__)
        except NotEnoughSharesError:
            return Off((), 0)
        except WrongSharesError as error:
            return Off((), error.least)
        return Off(decoded.wrong if decoded.otherwise > self.tolerated else (), min(len(decoded.wrong), decoded.otherwise))

    def _unopened(self, dealer: int) -> int:
        """How many holders say that they could not open what this dealer dealt."""
        return sum(dealer in answer.unopened for answer in self.answers.values())

    @cached_property
    def _words(self) -> list[tuple[int, int]]:
        """Dealer, and whom its seed is about, in the order of the shares."""
        return [(dealer, about) for dealer in sorted(self.inputs) for about in (dealer, *self.dropped)]

    @cached_property
    def _revealed(self) -> dict[int, list[int]]:
        """The shares that each holder revealed, one for each of `_words`."""
        size = shamir.SHARE_BYTES
        return {
            holder: [int.from_bytes(answer.shares[start : start + size], "big") for start in range(0, len(answer.shares), size)]
            for holder, answer in self.answers.items()
        }

    def _decoded(self, dealer: int) -> dict[int, bytes]:
        """The seeds of a dealer from the shares of those who could open them."""
        names, words = secrets_of(dealer, self.cohort), self._words
        places = [place for place, (owner, _) in enumerate(words) if owner == dealer]
        holders = [holder for holder, answer in self.answers.items() if dealer not in answer.unopened]
        answers = {holder: self._revealed[holder][places[0] : places[-1] + 1] for holder in holders}
        expected = [commitment(self.inputs[dealer].commitments, names, words[place][1]) for place in places]

        def right(place: int, secret: int) -> bool:
            seed, about = shamir.to_bytes(secret), words[places[place]][1]
            return keys.secret_commitment(self.session, self.number, dealer, about, seed) == expected[place]

        opened = decode_all(answers, self.threshold, right, self._weights[: len(places)])
        return {words[place][1]: shamir.to_bytes(secret) for place, secret in zip(places, opened.secrets, strict=True)}

    @cached_property
    def _weights(self) -> list[int]:
        """Of the shares in a check of all of them: they follow from every answer, so that no answer was made to fit them."""
        digest = hashlib.sha256(b"".join(self.answers[holder].shares for holder in sorted(self.answers))).digest()
        stream = keystream(digest, WEIGHT_BYTES * len(self._words))
        return [int.from_bytes(stream[start : start + WEIGHT_BYTES], "big") for start in range(0, len(stream), WEIGHT_BYTES)]

    def _revealed_wrong(self, holder: int, dealers: list[int]) -> WrongShareError:
        """One of more dealers than may misbehave is honest, and dealt what it committed to: then it is the holder."""
        fault = "" if len(dealers) > self.tolerated else ", or were dealt wrong"
        return WrongShareError(holder, f"its shares of the seeds of partners {_listed(dealers)} are wrong{fault}")

    @staticmethod
    def _dealt_wrong(dealer: int, holders: list[int]) -> WrongShareError:
        return WrongShareError(dealer, f"it dealt partners {_listed(holders)} wrong shares, or they revealed other ones")


def _listed(partners: list[int]) -> str:
    return ", ".join(map(str, partners))
