import pytest
from rdkit import Chem, rdBase

from fedapp.chemistry import rejection
from fedapp.chemistry.parse import SHORT, parse
from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import GROUPS, standardise

LIMIT = 100


def reason(text: str, limit: int = LIMIT) -> str:
    with rdBase.BlockLogs(), pytest.raises(RejectedError) as rejected:
        standardise(text, limit)
    return str(rejected.value)


@pytest.mark.parametrize("text", ["CCN CCO", "CCCC\tbutane", "c1ccccc1 . Cl", "CC hydrochloride |&1:1|"])
def test_text_after_a_structure_is_never_dropped(text: str) -> None:
    assert reason(text) == rejection.FURTHER_TEXT


@pytest.mark.parametrize(
    "extension",
    [
        "|Sg:n:1,2::ht|",  # a polymer
        "|$;;R1$|",  # a label
        "|^1:0|",  # a radical
        "|m:1:2.3|",  # a bond to one of several atoms
        "|SgD:1:purity:95|",
        "|LN:1:1.3|",  # a repeated link
        "|&1:1",  # not closed
        "|&1:1| name",
    ],
)
def test_an_extension_that_says_more_than_stereo_is_rejected(extension: str) -> None:
    assert reason(f"CC(C)CO {extension}") == rejection.EXTENDED


@pytest.mark.parametrize(
    "extension", ["|&1:1|", "|o1:1,2,&2:3|", "|a:1|", "|(0,0,;1,0.5,;2,0,;1.5,1,;0,1e-3,)|", "|(0,0,;1,1,),wU:1.0,r|", "|c:1,t:2|"]
)
def test_an_extension_of_stereo_and_coordinates_alone_is_read_as_the_structure_without_it(extension: str) -> None:
    assert standardise(f"CC(C)CO {extension}", LIMIT)[0] == standardise("CC(C)CO", LIMIT)[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CC(=O)O.CO>>COC(C)=O", rejection.REACTION),
        ("CC>[Pd]>C=C", rejection.REACTION),
        ("[#6]-[#7]", rejection.QUERY),
        ("C~N", rejection.QUERY),
        ("[C,N]C", rejection.UNPARSEABLE),
        ("[CH3;X4]C", rejection.UNPARSEABLE),
        ("ibuprofen", rejection.UNPARSEABLE),
        ("InChI=1S/CH4/h1H4", rejection.UNPARSEABLE),
        ("CC\u200b", rejection.UNPARSEABLE),
        ("CC\0Cl", rejection.UNPARSEABLE),
        ("C[*]", rejection.UNDEFINED_ATOM),
        ("C[1*]", rejection.UNDEFINED_ATOM),
        (" ", rejection.NO_ATOMS),
        ("[H][H]", rejection.NO_CARBON),
        ("[2H]O[2H]", rejection.NO_CARBON),
    ],
)
def test_what_is_no_structure_says_so(text: str, why: str) -> None:
    assert reason(text) == why


def test_white_space_around_a_structure_does_not_count() -> None:
    assert standardise("  OCC\t", LIMIT)[0] == "CCO"


def test_dative_bonds_are_no_reaction() -> None:
    assert parse("[Fe]<-N", LIMIT).GetNumAtoms() == 2


def nitro(count: int) -> str:
    return "C" + "C(N(=O)=O)" * count


def test_the_size_of_a_salt_may_exceed_that_of_a_drug() -> None:
    drug = "C" * 90
    assert standardise(".".join([drug, *["O=S(=O)(O)c1ccccc1"] * 5]), LIMIT)[0] == drug


def test_explicit_hydrogens_do_not_make_a_structure_too_large() -> None:
    drug = Chem.MolFromSmiles("C" * 99)
    assert standardise(Chem.MolToSmiles(Chem.AddHs(drug)), LIMIT)[0] == "C" * 99


# Each takes RDKit seconds to minutes, or grows faster than its length: a chain, a sulfoxide chain (also beside a salt), ions, a cluster.
CLUSTER = "".join(f"[Fe]{''.join(f'%({i * 40 + j})' for i in range(40) for j in range(i + 2, 40) if k in (i, j))}" for k in range(40))
LARGE = {
    "C" * 100_000: rejection.TOO_LONG.format(5000),
    "C" * 3000: rejection.TOO_MANY_ATOMS.format(400),
    "C(" * 2000 + "C" + ")" * 2000: rejection.TOO_LONG.format(5000),
    "CS(=O)" * 100: rejection.TOO_LARGE.format(100),
    "[Na+].[Cl-]." + "CS(=O)" * 100 + "C": rejection.TOO_LARGE.format(100),
    "CS(=O)" * 30 + "C": rejection.TOO_MANY_GROUPS.format(GROUPS),
    ".".join("CS(=O)" * count + "C" for count in range(28, 32)): rejection.TOO_MANY_GROUPS.format(GROUPS),
    "[Na+].[Cl-]." * 300 + "C": rejection.TOO_MANY_ATOMS.format(400),
    CLUSTER: rejection.TOO_LONG.format(5000),
}


@pytest.mark.parametrize("smiles", LARGE, ids=lambda smiles: f"{smiles[:12]}-{len(smiles)}")
def test_what_would_take_long_is_rejected_by_its_size_first(smiles: str) -> None:
    assert reason(smiles) == LARGE[smiles]


def test_a_cage_of_many_rings_is_rejected_before_they_are_counted_out() -> None:
    rings = "".join(f"[U]{''.join(f'%({i * 20 + j})' for i in range(20) for j in range(i + 2, 20) if k in (i, j))}" for k in range(20))
    assert SHORT < len(rings) < 5000
    assert reason(rings) == rejection.TOO_MANY_RINGS.format(100)


def test_a_larger_size_that_is_accepted_brings_larger_limits() -> None:
    assert standardise("C" * 1000, 1000)[0] == "C" * 1000


def test_groups_up_to_the_limit_are_normalised() -> None:
    assert standardise(nitro(GROUPS), LIMIT)[0].count("[N+](=O)[O-]") == GROUPS
