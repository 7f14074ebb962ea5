"""What secure aggregation costs: one round of real parties in this process, every message through its bytes.

How times are taken:
- One partner works after another, on this process's clock, so that nobody's time holds another's; a partner's figure is the median
  over the partners that took part. Making updates, and adding them up in the clear, is in nobody's time.
- `partner_mask_s` and `partner_share_s` part one reply: the calls of `add_streams` and `check.tag` inside it, and quantising before it,
  are the first; all the rest is the second.
- The floor is measured before each partner's mask, on the same memory, so that both meet the same machine. That memory has been written
  to before: neither pays for the first touch of a page.
- A set-up is two replies and the derivation of keys that the first request to mask brings about.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from math import floor
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedapp.errors import ConfigError
from simulation.benchmarks.stock_secagg import stock_round
from simulation.benchmarks.tally import Tally
from strategies.secagg import aggregate_check, masking
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.identity import Identity
from strategies.secagg.keystream import BLOCK_BYTES, DTYPES
from strategies.secagg.messages import NO_TRUNK, LastRound, SessionParameters
from strategies.secagg.participant import Participant
from strategies.secagg.policy import Policy
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold
from strategies.update.quantise import Quantiser

TRUNK = sha256(b"benchmark").digest()
RANGE = 2.0**-4  # of the quantiser: beyond six standard deviations
SPREAD = np.float32(0.01)  # standard deviation of an update
MOST_STOCK_WORDS = 2_000_000  # SecAgg+ holds 8 bytes a word and partner at once, and temporaries
STOCK_WORDS = 1_000_000  # where there are more
EXCHANGES = 3  # MaskedInputCollection, ConsistencyCheck, Unmasking


@dataclass(frozen=True)
class BenchmarkSetting:
    """What to measure.

    Attributes:
        partners: In the session, 3 or more.
        words: Length of an update.
        drop: Share of partners that fall silent when asked to mask.
        word_bits: 32 or 16.
        threads: Of each party, for keystreams.
    Raises:
        ConfigError: Outside these bounds, or more partners drop out than a round survives.
    """

    partners: int
    words: int
    drop: float
    word_bits: int = 32
    threads: int = 1

    def __post_init__(self) -> None:
        if self.partners < LEAST_PARTNERS or min(self.words, self.threads) < 1 or not 0 <= self.drop < 1 or self.word_bits not in DTYPES:
            bounds = f"partners from {LEAST_PARTNERS}, words and threads from 1, drop from 0 to below 1, word bits 16 or 32"
            raise ConfigError(f"cannot measure {self}", bounds)
        left, threshold = self.partners - len(self.dropped()), default_threshold(self.partners)
        if left < threshold:
            raise ConfigError(
                f"a drop of {self.drop} leaves {left} of {self.partners} partners, and {threshold} are needed", "lower --drop"
            )

    def dropped(self) -> tuple[int, ...]:
        """Partners that fall silent, spread over the indices so that their masks carry both signs."""
        count = floor(round(self.drop * self.partners, 9))  # 0.29 * 100 is 28.999999999999996
        return tuple(1 + place * self.partners // count for place in range(count))

    def update(self, index: int, words: int | None = None) -> np.ndarray:
        """A partner's update, float32, the same at every call."""
        drawn = np.random.default_rng(index).standard_normal(self.words if words is None else words, dtype=np.float32)
        drawn *= SPREAD
        return drawn


def measure(setting: BenchmarkSetting) -> dict[str, Any]:
    """Run one round of ours and one of Flower's SecAgg+.

    Returns:
        What `polyphony benchmark secagg --json` prints; times in seconds, sizes in bytes, of one partner unless they say otherwise.
        `coordinator_speedup` is None where SecAgg+ was measured on shorter vectors.
    """
    tally = Tally()
    exact = Bench(setting, tally).round()
    stock_words = setting.words if setting.words <= MOST_STOCK_WORDS else STOCK_WORDS
    threshold = default_threshold(setting.partners)
    stock = stock_round(setting.partners, threshold, setting.dropped(), lambda index: setting.update(index, stock_words))
    coordinator, mask, bare = tally.median("coordinator"), tally.median("partner_mask"), tally.median("mask_floor")
    return {
        "partners": setting.partners,
        "words": setting.words,
        "dropped": len(setting.dropped()),
        "exact": exact,
        "partner_mask_s": mask,
        "partner_share_s": tally.median("partner_share"),
        "mask_floor_s": bare,
        "partner_unmask_s": tally.median("partner_unmask"),
        "partner_answer_s": tally.median("partner_answer"),
        "coordinator_s": coordinator,
        "set_up_s": tally.median("set_up"),
        "stock_partner_s": stock.partner_s,
        "stock_coordinator_s": stock.coordinator_s,
        "stock_words": stock_words,
        **{what: round(tally.median(what)) for what in ("upload_bytes", "answer_bytes", "download_bytes")},
        "float32_bytes": 4 * setting.words,
        "exchanges_per_round": EXCHANGES,
        "mask_ratio": mask / bare,
        "coordinator_speedup": stock.coordinator_s / coordinator if stock_words == setting.words else None,
        "threads": setting.threads,
    }


class Bench:
    """The parties of one session.

    Args:
        setting: How many, and what they aggregate.
        tally: Takes down what they spend.
    """

    def __init__(self, setting: BenchmarkSetting, tally: Tally) -> None:
        self.setting, self.tally = setting, tally
        self.quantiser = Quantiser.for_sum(setting.word_bits, setting.partners, RANGE)
        identities = [Identity.generate() for _ in range(setting.partners)]
        members = tuple(Member(index, f"partner-{index}", each.public) for index, each in enumerate(identities, 1))
        roster = Roster("benchmark", default_threshold(setting.partners), LEAST_PARTNERS, members)
        configuration, layout = sha256(repr(setting).encode()).digest(), str(setting.words)
        parameters = SessionParameters(roster.digest(), configuration, layout, setting.word_bits, 0, 1, (), os.urandom(32))
        policy = Policy(roster.digest(), configuration, layout, (setting.word_bits,), 0, 1, (), LEAST_PARTNERS)
        self.coordinator = Coordinator(roster, parameters, setting.threads)
        self.partners = {index: Participant(each, roster, policy, os.urandom) for index, each in enumerate(identities, 1)}
        self._set_up()

    def _set_up(self) -> None:
        """AdvertiseKeys and ShareKeys."""
        request = self.coordinator.advertise_request()
        for index, partner in self.partners.items():
            with self.tally.time("set_up", index):
                reply = partner.advertise(request, 0, NO_TRUNK)
            self.coordinator.add_advertisement(reply)
        request = self.coordinator.share_keys_request()
        for index, partner in self.partners.items():
            with self.tally.time("set_up", index):
                reply = partner.share_keys(request)
            self.coordinator.add_contributions(index, reply)

    def round(self) -> bool:
        """One round; whether every survivor decoded exactly the sum of the survivors' integers."""
        tally, cohort = self.tally, self.coordinator.members()
        plain = np.zeros(self.setting.words, dtype=np.int32)  # no sum of words within the quantiser's bounds wraps
        collection = Collection(self.coordinator, 0, cohort)
        for index in cohort:
            with tally.time("coordinator"):
                request = self.coordinator.collect_request(index, 0, cohort, False, 0, None, None)
            with tally.time("set_up", index):
                self.partners[index].collect(request)
            if index in self.setting.dropped():
                continue
            reply, words = self.mask(index, request, plain)
            tally.add("download_bytes", index, len(request) + words.nbytes)  # of a round in full swing: the last sum comes with the request
            tally.add("upload_bytes", index, len(reply) + words.nbytes)
            with tally.time("coordinator"):
                collection.add_input(index, reply, words)
        self.agree(collection)
        blinded = self.reveal(collection)
        last = LastRound(0, collection.survivors, False)
        return all(np.array_equal(self.finish(index, last, blinded.copy()), plain) for index in collection.survivors)

    def mask(self, index: int, request: bytes, plain: np.ndarray) -> tuple[bytes, np.ndarray]:
        """The reply to a request that the partner accepted, and its vector; its integers are also added to `plain`."""
        tally, setting, partner, update = self.tally, self.setting, self.partners[index], self.setting.update(index)
        words = np.empty(setting.words + masking.tag_words(partner.session), dtype=DTYPES[setting.word_bits])
        words.fill(0)
        keys = [os.urandom(32) for _ in range(setting.partners + (1 if index == 1 else 2))]  # pairwise, self, and one or two for the group
        with tally.time("mask_floor", index):
            bare_masks(words, keys, setting.threads)
        private = words[: setting.words]
        with tally.time("partner_mask", index):
            self.quantiser.quantise([update], private, seed=index)
        np.add(plain, masking.signed_view(private), out=plain)
        with (
            tally.moved(masking, "add_streams", "partner_share", "partner_mask", index),
            tally.moved(aggregate_check, "tag", "partner_share", "partner_mask", index),
            tally.time("partner_share", index),
        ):
            reply = partner.mask(request, TRUNK, words, np.empty(0, dtype=words.dtype), setting.threads)
        return reply, words

    def agree(self, collection: Collection) -> None:
        """ConsistencyCheck."""
        with self.tally.time("coordinator"):
            request = collection.consistency_request()
        for index in collection.survivors:
            with self.tally.time("partner_answer", index):
                reply = self.partners[index].confirm(request)
            self._carried(index, request, reply)
            with self.tally.time("coordinator"):
                collection.add_signature(index, reply)

    def reveal(self, collection: Collection) -> np.ndarray:
        """Unmasking; the sum under group masks."""
        for index in collection.survivors:
            with self.tally.time("coordinator"):
                request = collection.unmask_request(index)
            with self.tally.time("partner_answer", index):
                reply = self.partners[index].unmask(request)
            self._carried(index, request, reply)
            with self.tally.time("coordinator"):
                collection.add_answer(index, reply)
        with self.tally.time("coordinator"):
            blinded, _ = collection.unmask()
        return blinded

    def finish(self, index: int, last: LastRound, words: np.ndarray) -> np.ndarray:
        """The sum that a partner decodes, in place."""
        with self.tally.time("partner_unmask", index):
            decoded, _ = self.partners[index].finish(last, words, TRUNK, self.setting.threads)
        return decoded

    def _carried(self, index: int, request: bytes, reply: bytes) -> None:
        self.tally.add("download_bytes", index, len(request))
        self.tally.add("answer_bytes", index, len(reply))


def bare_masks(words: np.ndarray, keys: Sequence[bytes], threads: int) -> None:
    """The least that masking takes: add the stream of every key to `words` by the bare cipher, in place, a block at a time.

    Written apart from `streams.add_streams`, of which it is the yardstick.
    """
    size = BLOCK_BYTES // words.itemsize
    blocks = -(-len(words) // size)
    bounds = [blocks * part // threads * size for part in range(threads + 1)]

    def strip(begin: int, end: int) -> None:
        counter = (begin * words.itemsize // 16).to_bytes(16, "big")
        ciphers = [Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor() for key in keys]
        zeros, drawn = bytes(BLOCK_BYTES), bytearray(BLOCK_BYTES + 16)
        stream = np.frombuffer(drawn, dtype=words.dtype)
        for first in range(begin, min(end, len(words)), size):
            block = words[first : first + size]
            for cipher in ciphers:
                cipher.update_into(zeros[: block.nbytes], drawn)
                block += stream[: len(block)]

    if threads == 1:
        strip(*bounds)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(strip, bounds, bounds[1:]))
