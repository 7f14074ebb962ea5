"""What secure aggregation costs: one round of real parties in this process, every message through its bytes.

How times are taken:
- One partner works after another, on this process's clock, so that nobody's time holds another's; a partner's figure is the median
  over those that are measured. Making updates, and adding them up in the clear, is in nobody's time.
- `partner_mask_s` and `partner_share_s` part one reply: the calls of `add_streams` and `aggregate_check.tag` inside it, and quantising
  before it, are the first; all the rest is the second.
- The floor is measured before each partner's mask, on the same memory, so that both meet the same machine. That memory has been written
  to before: neither pays for the first touch of a page.
- A set-up is two replies and the derivation of keys that the first request to mask brings about, which counts as ShareKeys.
- Of the partners that took part, times are taken of `MEASURED` at most, spread over the indices. The others do the same, but for
  signatures that one of them has checked already.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from math import floor
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedapp.errors import ConfigError
from simulation.benchmarks.first_version import first_version
from simulation.benchmarks.signature_memory import SignatureMemory
from simulation.benchmarks.stock_secagg import stock_round
from simulation.benchmarks.tally import Tally
from strategies.secagg import aggregate_check, masking
from strategies.secagg.keystream import BLOCK_BYTES, DTYPES
from strategies.secagg.phases import Step
from strategies.secagg.rehearsal import COORDINATOR, Rehearsal, Transmission, throw_away_parties
from strategies.secagg.roster import LEAST_PARTNERS, default_threshold
from strategies.update.quantise import Quantiser

RANGE = 2.0**-4  # of the quantiser: beyond six standard deviations
SPREAD = np.float32(0.01)  # standard deviation of an update
MOST_STOCK_WORDS = 2_000_000  # SecAgg+ holds 8 bytes a word and partner at once, and temporaries
STOCK_WORDS = 1_000_000  # where there are more
MEASURED = 50
ROUND = (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK)
SET_UP = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS)
WORK = {  # what a partner's work is called
    Step.ADVERTISE_KEYS: "set_up",
    Step.SHARE_KEYS: "set_up",
    Step.CONSISTENCY: "partner_answer",
    Step.UNMASK: "partner_answer",
    Step.FINISH: "partner_unmask",
}


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
            asked = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(self).items())
            raise ConfigError(f"cannot measure {asked}", bounds)
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


def measure(setting: BenchmarkSetting, stock: bool = True) -> dict[str, Any]:
    """Run one round of ours, and one of Flower's SecAgg+.

    Args:
        stock: Whether to run the second, which takes many minutes with hundreds of partners.
    Returns:
        What `polyphony benchmark secagg --json` prints; times in seconds, sizes in bytes, of one partner unless they say otherwise.
        `coordinator_speedup` is None where SecAgg+ was measured on shorter vectors, and all of SecAgg+'s where it was not.
    """
    tally = Tally()
    exact = Bench(setting, tally).round()
    against = stock_figures(setting) if stock else None
    coordinator, mask, bare = tally.median("coordinator"), tally.median("partner_mask"), tally.median("mask_floor")
    comparable = against is not None and against["stock_words"] == setting.words
    return {
        "partners": setting.partners,
        "words": setting.words,
        "dropped": len(setting.dropped()),
        "exact": exact,
        "partners_measured": len(tally.spent["partner_mask"]),
        "partner_mask_s": mask,
        "partner_share_s": tally.median("partner_share"),
        "mask_floor_s": bare,
        "partner_unmask_s": tally.median("partner_unmask"),
        "partner_answer_s": tally.median("partner_answer"),
        "coordinator_s": coordinator,
        "set_up_s": tally.median("set_up"),
        "coordinator_set_up_s": tally.median("coordinator_set_up"),
        "partner_steps_s": {step.value: tally.median(f"partner {step}") for step in (*SET_UP, *ROUND, Step.FINISH)},
        "coordinator_steps_s": {step.value: tally.median(f"coordinator {step}") for step in (*SET_UP, *ROUND)},
        "version_1": first_version(setting.partners, setting.words, len(setting.dropped())),
        **(against or dict.fromkeys(("stock_partner_s", "stock_coordinator_s", "stock_words"))),
        **{what: round(tally.median(what)) for what in ("upload_bytes", "answer_bytes", "download_bytes", "set_up_bytes")},
        "float32_bytes": 4 * setting.words,
        "exchanges_per_round": len(ROUND),
        "mask_ratio": mask / bare,
        "coordinator_speedup": against["stock_coordinator_s"] / coordinator if against and comparable else None,
        "threads": setting.threads,
    }


def stock_figures(setting: BenchmarkSetting) -> dict[str, Any]:
    """What a round of Flower's SecAgg+ takes, on as many words as it can hold."""
    words = setting.words if setting.words <= MOST_STOCK_WORDS else STOCK_WORDS
    threshold = default_threshold(setting.partners)
    stock = stock_round(setting.partners, threshold, setting.dropped(), lambda index: setting.update(index, words))
    return {"stock_partner_s": stock.partner_s, "stock_coordinator_s": stock.coordinator_s, "stock_words": words}


class Bench:
    """The parties of one session, and what they spend.

    Args:
        setting: How many, and what they aggregate.
        tally: Takes down what they spend.
    """

    def __init__(self, setting: BenchmarkSetting, tally: Tally) -> None:
        self.setting, self.tally, self.dropped = setting, tally, setting.dropped()
        survivors = [index for index in range(1, setting.partners + 1) if index not in self.dropped]
        self.measured = survivors[:: -(-len(survivors) // MEASURED)]
        self.memory = SignatureMemory()
        self.quantiser = Quantiser.for_sum(setting.word_bits, setting.partners, RANGE)
        self.plain = np.zeros(setting.words, dtype=np.int32)  # no sum of words within the quantiser's bounds wraps
        coordinator, partners = throw_away_parties(setting.partners, os.urandom, word_bits=setting.word_bits, threads=setting.threads)
        self.rehearsal = Rehearsal(coordinator, partners, setting.words, self.carry, self.measure)

    def round(self) -> bool:
        """Set-up and one round; whether every survivor decoded exactly the sum of the survivors' integers."""
        self.rehearsal.set_up()
        collection = self.rehearsal.collect(self.write)
        self.rehearsal.agree(collection)
        masked_sum = self.rehearsal.reveal(collection)
        return all(np.array_equal(self.rehearsal.decode(index, collection, masked_sum), self.plain) for index in collection.survivors)

    def write(self, index: int, private: np.ndarray) -> None:
        """A partner's update as integers, which are also added up in the clear; before that, the floor is measured."""
        private.fill(0)  # written to before anything is measured: fresh zeros have no pages yet
        if index in self.measured:
            # pairwise, self, and one or two for the group
            keys = [os.urandom(32) for _ in range(self.setting.partners + (1 if index == 1 else 2))]
            with self.tally.time("mask_floor", index):
                bare_masks(private, keys, self.setting.threads)
        update = self.setting.update(index)
        with self.tally.time("partner_mask", index) if index in self.measured else nullcontext():
            self.quantiser.quantise([update], private, seed=index)
        np.add(self.plain, masking.signed_view(private), out=self.plain)

    def carry(self, sent: Transmission) -> bool:
        """Count bytes; the partners that drop out are asked to mask in vain."""
        if sent.step is Step.COLLECT:
            if sent.partner in self.dropped:
                return False
            if sent.upward:
                self.tally.add("upload_bytes", sent.partner, len(sent.body) + sent.words.nbytes)
                self.tally.add(
                    "download_bytes", sent.partner, sent.words.nbytes
                )  # of a round in full swing: the last sum comes with the request
            else:
                self.tally.add("download_bytes", sent.partner, len(sent.body))
        elif sent.step in SET_UP:
            self.tally.add("set_up_bytes", sent.partner, len(sent.body))
        elif sent.step in (Step.CONSISTENCY, Step.UNMASK):
            self.tally.add("answer_bytes" if sent.upward else "download_bytes", sent.partner, len(sent.body))
        return True

    @contextmanager
    def measure(self, step: Step, party: int) -> Iterator[None]:
        """Take down the time of a party's work: of the step, and under the name that the benchmark gives it."""
        if party == COORDINATOR:
            with self.tally.time(f"coordinator {step}"), self.tally.time("coordinator_set_up" if step in SET_UP else "coordinator"):
                yield
        elif party not in self.measured:
            with self.memory.used():
                yield
        elif step is Step.COLLECT:
            with (
                self.tally.moved(masking, "add_streams", "partner_share", "partner_mask", party),
                self.tally.moved(aggregate_check, "tag", "partner_share", "partner_mask", party),
                self.tally.time("partner_share", party),
                self.tally.time(f"partner {step}", party),
            ):
                yield
        else:
            with self.tally.time(f"partner {step}", party), self.tally.time(WORK[step], party):
                yield


def bare_masks(words: np.ndarray, keys: Sequence[bytes], threads: int) -> None:
    """The least that masking takes: add the stream of every key to `words` by the bare cipher, in place, a block at a time.

    Written apart from `keystream.add_streams`, of which it is the yardstick.
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
