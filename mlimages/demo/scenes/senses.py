"""Word-sense disambiguation of stamps: the WordNet synset of a description's head noun that fits the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlimages.hierarchy import match_names
from mlimages.hierarchy.wordnet.synsets import close_upwards

_ANIMAL, _BIRD, _FISH, _ARTHROPOD, _MAMMAL = "n00015388", "n01503061", "n02512053", "n01767661", "n01861778"
_PLANT, _FUNGUS, _PERSON, _BODY_PART = "n00017222", "n12992868", "n00007846", "n05220461"
_NUTRIENT, _FOOD, _FRUIT, _PLANT_PART = "n00021265", "n07555863", "n13134947", "n13086908"
_ARTIFACT, _CLOTHING, _CELESTIAL, _NATURAL = "n00021939", "n03051540", "n09239740", "n11408559"

#: Roots below which the senses of a folder's nouns lie, in order of preference. The longest matching path counts.
FOLDER_ROOTS: dict[str, tuple[str, ...]] = {
    "animals": (_ANIMAL,),
    "animals/birds": (_BIRD, _ANIMAL),
    "animals/fish": (_FISH, _ANIMAL),
    "animals/insects": (_ARTHROPOD, _ANIMAL),
    "animals/mammals": (_MAMMAL, _ANIMAL),
    "clothes": (_CLOTHING, _ARTIFACT),
    "food": (_FOOD, _NUTRIENT, _FRUIT, _PLANT_PART),
    "hobbies": (_ARTIFACT,),
    "household": (_ARTIFACT,),
    "medical": (_ARTIFACT, _BODY_PART),
    "military": (_ARTIFACT, _PERSON),
    "naturalforces": (_NATURAL,),
    "people": (_PERSON, _ARTIFACT),
    "people/body_parts": (_BODY_PART,),
    "plants": (_PLANT, _FUNGUS, _PLANT_PART),
    "seasonal": (_ARTIFACT, _FOOD),
    "seasonal/easter": (_ANIMAL, _PLANT, _FOOD),
    "seasonal/halloween": (_ANIMAL, _ARTIFACT),
    "space": (_CELESTIAL, _ARTIFACT),
    "space/spacewalk": (_PERSON,),
    "sports": (_ARTIFACT,),
    "town": (_ARTIFACT,),
    "vehicles": (_ARTIFACT,),
}

#: Folders of drawings and signs instead of photographs.
LEFT_OUT = ("cartoon", "symbols", "flags", "roadsigns")

#: The synset where the description or the first fitting sense is wrong; None leaves the stamp out.
CORRECTIONS: Mapping[str, str | None] = {
    "animals/birds/blackbird": "n01558594",  # not the New World blackbird
    "animals/birds/lark": "n01527617",  # nor the meadowlark
    "animals/fish/butterflyfish": "n02512053",  # fish: WordNet's butterflyfish is the flying gurnard
    "animals/fish/clownfish": "n02607072",  # anemone fish
    "animals/fish/coraltrout": "n02568959",  # a grouper
    "animals/mammals/bears/toys/edward_bear": "n04399382",  # teddy
    "animals/mammals/hedgehog": "n01893825",  # not the porcupine
    "clothes/t_glove": "n03441112",  # not the baseball glove
    "clothes/t_pants": "n04489008",  # trouser
    "food/fruit/avocado": "n07764847",
    "food/fruit/cherimoya": "n07760859",  # custard apple
    "food/fruit/kiwi": "n07763629",
    "food/spices/ginger": None,
    "food/vegetables/broccoli": "n07714990",
    "food/vegetables/chilepepper": "n07721456",  # chili
    "food/vegetables/garlic": "n07818277",
    "food/vegetables/mushroom": "n07734744",
    "food/vegetables/pepper": "n07720875",  # bell pepper
    "food/vegetables/tomato": "n07734017",
    "food/vegetables/yellowpepper": "n07720875",
    "household/cylinder": None,
    "household/dishes/glass": "n03438257",
    "household/rubberduck": None,
    "household/toilet": "n04446521",
    "household/tools/hammer": "n03481172",  # the hand tool, not that of a gun
    "military/ammunition/old_naval_shell": None,
    "military/fireman240a": "n10091651",  # firefighter, not stoker
    "military/vehicles/ww2_german_gun": None,
    "people/fireman200b": "n10091651",
    "people/fireman240a": "n10091651",
    "plants/flowers/plastic/chuvanna_plastic_poo": None,
    "plants/mushrooms/cep": "n13054560",  # bolete
    "plants/mushrooms/cep-1": "n13054560",
    "plants/mushrooms/cep-2": "n13054560",
    "plants/thyme": "n12870535",
    "seasonal/easter/bluebird": "n01562014",
    "seasonal/easter/chick-in-egg": "n01792042",
    "seasonal/halloween/blackcat": "n02121808",  # domestic cat
    "seasonal/halloween/ghost": None,
    "seasonal/halloween/jackolantern_mean": "n03590841",
    "seasonal/halloween/skull": None,
    **dict.fromkeys((f"seasonal/halloween/grave-{letter}" for letter in "abcdefghij"), "n03455488"),
    **dict.fromkeys((f"seasonal/hanukkah/dreydl-{letter}" for letter in ("gimmel", "hay", "nun", "shin")), None),
    "sports/football": "n03378765",
    "sports/rugby_goal_posts": None,
    "town/uk_post_box": "n03710193",  # mailbox
    "vehicles/auto/beetle": "n02958343",  # car
    "vehicles/emergency/sedan_police": None,
    "vehicles/flight/planes/747": "n02690373",  # airliner
}

_ARTICLES = re.compile(r"^(an?|the|our|some|two|three|big|very|eat your)\s+", re.IGNORECASE)
_COLLECTIONS = re.compile(r"^(pair|bunch|head|string|baby|quarter|plant|glass) of\s+", re.IGNORECASE)
_END = re.compile(r"[(.,!?:;—]|\b(?:resembles|lets|is|are|at|in|with|from|made|making|covered|wrapped|hatched|used)\b")


def synset_of_stamps(descriptions: Mapping[str, str]) -> dict[str, str]:
    """The synset id of each stamp; stamps without a fitting synset are left out.

    `descriptions` holds, by stamp (its path below the folder of stamps, without suffix), the first line of its text.

    Examples
    --------
    >>> synset_of_stamps({"animals/birds/crane": "A crane.", "vehicles/crane": "A crane."})
    {'animals/birds/crane': 'n02012849', 'vehicles/crane': 'n03126707'}
    """
    wanted = {stamp: noun_phrase(text) for stamp, text in descriptions.items() if _photograph(stamp)}
    proposals = match_names(sorted(set(filter(None, wanted.values()))))
    senses = {
        name: [key for key in rows["key"].tolist() if key] for name, rows in proposals.groupby("name", sort=False)
    }
    above: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    for stamp, phrase in wanted.items():
        if stamp in CORRECTIONS:
            key = CORRECTIONS[stamp]
        else:
            key = _fitting(senses.get(phrase, []), _roots(stamp), above)
        if key is not None:
            found[stamp] = key
    return found


def noun_phrase(text: str) -> str:
    """The noun phrase at the start of a description.

    Examples
    --------
    >>> noun_phrase("A pair of cherries."), noun_phrase("A “Fuji” apple."), noun_phrase("A bandage, adhesive")
    ('cherries', 'Fuji apple', 'bandage')
    """
    phrase = re.sub("[\"'\u2018\u2019\u201c\u201d]", "", text.strip())
    end = _END.search(phrase, 1)
    phrase = phrase[: end.start()] if end else phrase
    shorter = ""
    while shorter != phrase:
        shorter = phrase
        phrase = _COLLECTIONS.sub("", _ARTICLES.sub("", phrase))
    return phrase.strip()


def _photograph(stamp: str) -> bool:
    return set(stamp.split("/")).isdisjoint(LEFT_OUT)


def _roots(stamp: str) -> tuple[str, ...]:
    parts = stamp.split("/")
    for length in range(len(parts), 0, -1):
        if (roots := FOLDER_ROOTS.get("/".join(parts[:length]))) is not None:
            return roots
    return ()


def _fitting(keys: list[str], roots: tuple[str, ...], above: dict[str, set[str]]) -> str | None:
    """The first sense below the first root that has one."""
    for key in keys:
        if key not in above:
            above[key] = set(close_upwards([key]))
    return next((key for root in roots for key in keys if root in above[key]), None)
