"""Names of partners and consortia: what people compare by eye, and what goes into tables, folders, kits and logs.

After Unicode's security mechanisms (UTS 39): letters of one script, each in the one way in which it is written, and no two names of a
roster that are drawn alike.
"""

import re
from unicodedata import name as name_of
from unicodedata import normalize

from fedapp.wording import readings

NAME = re.compile(r"\w([\w .&-]{0,62}[\w.&-])?")
LONGEST = 64  # characters
WRITTEN_TOGETHER = ({"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"})  # Japanese, Korean, Chinese
# Beside what `readings` knows: small letters that are drawn as Latin ones in most fonts, and what is drawn alike within Latin.
DRAWN = str.maketrans("αγικνορυχкгѵӏѴӀ1I|0", "ayiknopyxkrvlVllllO")
DRAWN_TOGETHER = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def fault_of(name: str) -> str:
    """Why this is no name that people can compare by eye; empty if it is one."""
    if not NAME.fullmatch(name):
        return "a name begins with a letter or digit and has at most 64 of them, with spaces and . & - _ in between"
    if normalize("NFKC", name) != name:
        return "a name has no letters that are another way of writing others, such as wide or joined ones"
    scripts = {_script(each) for each in name if each.isalpha() or not each.isascii()}
    if "" in scripts or (len(scripts) > 1 and not any(scripts <= together for together in WRITTEN_TOGETHER)):
        return "a name has letters of one script: one of another may be drawn as a letter of it"
    return ""


def alike(one: str, other: str) -> bool:
    """Whether people may take one name for the other."""
    return bool(readings(one) & readings(other)) or _drawing(one) == _drawing(other)


def nearest_name(text: str) -> str:
    """A text as a name: what a name may not hold becomes a hyphen."""
    name = re.sub(r"[^\w .&-]", "-", text)
    if fault_of(_within(name)):
        name = re.sub(r"[^\w .&-]", "-", normalize("NFKC", name), flags=re.ASCII)
    return _within(name) or "unnamed"


def _within(text: str) -> str:
    return text.lstrip(" .&-")[:LONGEST].rstrip(" ")


def _script(letter: str) -> str:
    """The first word of its name in Unicode, which is its script's; empty for what nobody sees."""
    words = name_of(letter, "").replace("-", " ").split()
    return "" if not words or "FILLER" in words else words[0]


def _drawing(name: str) -> str:
    drawn = normalize("NFKD", name).translate(DRAWN)
    for several, one in DRAWN_TOGETHER:
        drawn = drawn.replace(several, one)
    return " ".join(drawn.split())
