"""The form of numbers, times and foreign text wherever people read them: reports, pages, cards and the terminal."""

import re
from datetime import UTC, datetime
from unicodedata import category, normalize

DASH, NBSP, MINUS = "–", "\u00a0", "\u2212"
UNITS = ("B", "kB", "MB", "GB", "TB")
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's controls, invisible and bidirectional ones, halves of characters, line ends
ESCAPED = range(0xDC80, 0xDD00)  # where Python keeps bytes that are not UTF-8

# Cyrillic and Greek letters that are drawn as Latin ones, capital and small, and dashes that are drawn as a hyphen.
LOOK_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУҮХԚԜаеѕіјорсухһӏԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧον\u2010\u2011\u2012\u2013\u2014\u2212",
    "ABESIJKMHOPCTYYXQWaesijopcyxhldqwABEZHIKMNOPTYXov------",
)


def count(value: float | None) -> str:
    """1460 -> 1,460."""
    return DASH if value is None else f"{int(value):,}"


def score(value: float | None) -> str:
    """A metric between 0 and 1, three decimals."""
    return DASH if value is None else f"{value:.3f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign; what rounds to zero has none."""
    if value is None:
        return DASH
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else MINUS}{text}"


def percent(share: float | None) -> str:
    """Of small shares two digits are shown: 0.00012 -> 0.012 %."""
    if share is None:
        return DASH
    text = f"{share * 100:.0f}" if abs(share) >= 0.1 or share == 0 else f"{share * 100:.2g}"
    return f"{text}{NBSP}%".replace("-", MINUS)


def size(value: float | None) -> str:
    """Bytes in decimal units: 1234567 -> 1.2 MB."""
    if value is None:
        return DASH
    scaled, unit = float(value), 0
    while scaled >= 999.5 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{scaled:.0f}{NBSP}{UNITS[unit]}" if unit == 0 or scaled >= 99.5 else f"{scaled:.1f}{NBSP}{UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """95 -> 1 min 35 s."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}{NBSP}d {hours}{NBSP}h"
    if hours:
        return f"{hours}{NBSP}h {minutes}{NBSP}min"
    return f"{minutes}{NBSP}min {rest}{NBSP}s" if minutes else f"{rest}{NBSP}s"


def moment(value: str | float | None) -> str:
    """A time, as ISO text or in seconds since 1970, as `12 Mar 2026, 14:03:22 UTC`; what is none, as it is."""
    try:
        time = datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else datetime.fromisoformat(value or "").astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return DASH if value in (None, "") else str(value)
    return f"{time.day} {time:%b %Y, %H:%M:%S}{NBSP}UTC"


def plural(number: int | None, word: str) -> str:
    """1 round, 2 rounds, 3 entries."""
    several = f"{word[:-1]}ies" if re.search("[^aeiou]y$", word) else f"{word}s"
    return f"{count(number)} {word if number == 1 else several}"


def was_or_were(number: int | None) -> str:
    """What follows so many in the past."""
    return "was" if number == 1 else "were"


def capital(text: str) -> str:
    """With a capital at its beginning, and the rest as it is: mean AUC-PR -> Mean AUC-PR."""
    return text[:1].upper() + text[1:]


def is_plain(text: str) -> bool:
    """Whether a terminal shows all of a text and does nothing else: no line ends, cursor movements or changes of direction are in it."""
    return text.isprintable() or not any(category(each) in STEERING for each in text)


def readings(name: str) -> frozenset[str]:
    """What people may read a name as; whoever reads two names that share one of these cannot tell them apart.

    Case, the coding of characters and runs of spaces make no difference, nor does it whether a letter is Latin or a Cyrillic or Greek one
    that is drawn as it. A letter that is drawn otherwise does: α is no a.
    """
    drawn = normalize("NFKD", name).translate(LOOK_ALIKE)
    return frozenset(" ".join(normalize("NFKC", normalize("NFKC", each).casefold()).split()) for each in (name, drawn))


def shown(text: str) -> str:
    """Text of a file or a peer as it can be printed: what a terminal would obey, and a byte that is not UTF-8, as its number."""
    return "".join(each if is_plain(each) else _number(each) for each in text)


def _number(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if code in ESCAPED else character.encode("unicode_escape").decode()


def short(digest: str) -> str:
    """The first digits of a digest."""
    return f"{digest[:16]}…" if len(digest) > 16 else digest or DASH
