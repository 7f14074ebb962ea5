"""Masks: keystreams as published, added word by word whatever the blocks and threads."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import keystream as streams
from strategies.secagg.keystream import BLOCK_BYTES, CIPHER_BLOCK, DTYPES, add_streams, keystream, share_of

# NIST SP 800-38A, F.5.5: CTR-AES256.Encrypt
NIST_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
NIST_COUNTER = 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF
NIST_OUTPUT = bytes.fromhex(
    "0bdf7df1591716335e9a8b15c860c5025a6e699d536119065433863c8f657b941bc12c9c01610d5d0d8bd6a3378eca622956e1c8693536b1bee99c73a31576b6"
)
NIST_PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
NIST_CIPHERTEXT = bytes.fromhex(
    "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
)
# NIST AESAVS, B.1: KeySbox, 256 bits, of a block of zeros
ZERO_KEY = bytes.fromhex("c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558")
ZERO_OUTPUT = bytes.fromhex("46f2fb342d6f0ab477476fc501242c5f")

KEYS = [bytes([number]) * 32 for number in range(1, 6)]
# Lengths in bytes around the borders of a word, a cipher block, a cached block and several of them.
LENGTHS = [0, 4, 12, 16, 20, BLOCK_BYTES - 4, BLOCK_BYTES, BLOCK_BYTES + 4, 3 * BLOCK_BYTES - 16, 3 * BLOCK_BYTES, 5 * BLOCK_BYTES + 36]


def plain_stream(key: bytes, count: int) -> bytes:
    """The keystream, from the library of ciphers at once."""
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(count))


def plain_sum(words: np.ndarray, plus: list[bytes], minus: list[bytes]) -> np.ndarray:
    """The same masks by 64-bit arithmetic on whole streams."""
    total = words.astype(np.int64)
    for key in plus:
        total += np.frombuffer(plain_stream(key, words.nbytes), dtype=words.dtype)
    for key in minus:
        total -= np.frombuffer(plain_stream(key, words.nbytes), dtype=words.dtype)
    return (total % (1 << (8 * words.itemsize))).astype(words.dtype)


def some_words(count: int, bits: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(count).bytes(count * bits // 8), dtype=DTYPES[bits]).copy()


def test_the_cipher_is_the_published_one() -> None:
    assert streams._cipher(NIST_KEY, NIST_COUNTER * CIPHER_BLOCK).update(bytes(64)) == NIST_OUTPUT
    assert streams._cipher(NIST_KEY, NIST_COUNTER * CIPHER_BLOCK).update(NIST_PLAIN) == NIST_CIPHERTEXT


def test_a_stream_begins_with_the_encryption_of_zero() -> None:
    assert keystream(ZERO_KEY, 16) == ZERO_OUTPUT
    words = np.zeros(4, dtype=DTYPES[32])
    add_streams(words, [ZERO_KEY])
    assert words.tobytes() == ZERO_OUTPUT
    assert words[0] == 0x34FBF246, "words are little-endian"


def test_a_stream_is_the_whole_ciphers_one() -> None:
    assert keystream(KEYS[0], 1000) == plain_stream(KEYS[0], 1000)


@pytest.mark.parametrize("bits", [32, 16])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_streams_are_added_and_subtracted_at_every_border(length: int, bits: int, threads: int) -> None:
    words = some_words(length * 8 // bits, bits)
    expected = plain_sum(words, KEYS[:3], KEYS[3:])
    add_streams(words, KEYS[:3], KEYS[3:], threads)
    assert np.array_equal(words, expected)


@given(
    st.integers(0, 300), st.sampled_from([16, 32]), st.lists(st.sampled_from(KEYS), max_size=4), st.lists(st.sampled_from(KEYS), max_size=4)
)
def test_any_streams_sum_modulo_the_word_size(count: int, bits: int, plus: list[bytes], minus: list[bytes]) -> None:
    words = some_words(count, bits)
    expected = plain_sum(words, plus, minus)
    add_streams(words, plus, minus)
    assert np.array_equal(words, expected)


@pytest.mark.parametrize("bits", [32, 16])
def test_what_is_added_and_subtracted_again_leaves_no_trace(bits: int) -> None:
    words = some_words(100_001, bits)
    before = words.copy()
    add_streams(words, KEYS, threads=2)
    assert not np.array_equal(words, before)
    add_streams(words, [], KEYS, threads=3)
    assert np.array_equal(words, before)


def test_without_a_key_nothing_changes() -> None:
    words = some_words(9, 32)
    before = words.copy()
    add_streams(words, [])
    assert np.array_equal(words, before)


def test_half_a_vector_can_be_masked_as_a_view() -> None:
    words = np.zeros(100, dtype=DTYPES[32])
    add_streams(words[50:], KEYS[:1])
    assert not words[:50].any()
    assert words[50:].tobytes() == plain_stream(KEYS[0], 200)


def test_an_unknown_key_length_is_refused() -> None:
    with pytest.raises(ValueError):
        add_streams(np.zeros(4, dtype=DTYPES[32]), [bytes(16)])


@given(st.integers(1, 100 * BLOCK_BYTES), st.integers(0, 40))
def test_threads_share_a_vector_in_whole_blocks_as_equal_as_they_come(total: int, threads: int) -> None:
    share = share_of(total, threads)
    parts, blocks = -(-total // share), -(-total // BLOCK_BYTES)
    assert share % BLOCK_BYTES == 0
    assert parts <= max(threads, 1)
    assert share // BLOCK_BYTES == -(-blocks // max(threads, 1))
