import re
from typing import NamedTuple

import pytest

from clinical_tl.data.synthetic.toml_records import read_toml
from clinical_tl.errors import ConfigError


class Dish(NamedTuple):
    name: str
    steps: tuple[str, ...]
    price: float = 1.0
    servings: int = 2
    vegan: bool = False


class Menu(NamedTuple):
    dishes: tuple[Dish, ...]
    drinks: dict[str, tuple[tuple[str, ...], ...]]


MENU = """
[[dishes]]
name = "soup"
steps = ["cut", "boil"]
price = 3
vegan = true

[[dishes]]
name = "egg"
steps = ["boil"]

[drinks]
"hot ones" = [["tea"], ["coffee", "espresso"]]
"""


def read(tmp_path, text):
    (tmp_path / "menu.toml").write_text(text, encoding="utf-8")
    return read_toml(tmp_path / "menu.toml", Menu)


def test_tables_become_records_and_lists_tuples(tmp_path):
    assert read(tmp_path, MENU) == Menu(
        dishes=(
            Dish("soup", ("cut", "boil"), price=3, vegan=True),
            Dish("egg", ("boil",), price=1.0, servings=2, vegan=False),
        ),
        drinks={"hot ones": (("tea",), ("coffee", "espresso"))},
    )


def test_what_editors_on_windows_write_is_read(tmp_path):
    text = "\ufeff" + MENU.replace("\n", "\r\n")
    (tmp_path / "menu.toml").write_bytes(text.encode())
    assert read_toml(tmp_path / "menu.toml", Menu) == read(tmp_path, MENU)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("price = 3", "cost = 3", "dishes[1].cost: a key without meaning; allowed: name, steps"),
        ('name = "egg"', "", "dishes[2].name: nothing; allowed: a value"),
        ('name = "egg"', 'code = "x"', "dishes[x].code: a key without meaning"),
        ('name = "egg"', "name = 4", "dishes[2].name: a number; allowed: a text"),
        ('name = "egg"', 'name = ""', "dishes[2].name: a text with nothing in it; allowed: a text"),
        ('name = "egg"', 'name = " egg"', "dishes[2].name: a text; allowed: a text in one line"),
        ('name = "egg"', 'name = "e\\ng"', "dishes[2].name: a text; allowed: a text in one line"),
        ('["boil"]', '["boil", 1]', "dishes[2].steps[2]: a number; allowed: a text"),
        ('["boil"]', "[]", "dishes[2].steps: a list with nothing in it; allowed: a list of one"),
        ('["boil"]', '"boil"', "dishes[2].steps: a text; allowed: a list"),
        ("price = 3", 'price = "3"', "dishes[1].price: a text; allowed: a number"),
        ("price = 3", "price = nan", "dishes[1].price: a number; allowed: a number"),
        ("price = 3", "price = true", "dishes[1].price: true or false; allowed: a number"),
        ("price = 3", "servings = 1.5", "dishes[1].servings: a number; allowed: a whole number"),
        ("price = 3", "servings = true", "dishes[1].servings: true or false; allowed: a whole"),
        ("price = 3", "servings = 1979-05-27", "dishes[1].servings: a time; allowed: a whole"),
        ("vegan = true", "vegan = 1", "dishes[1].vegan: a number; allowed: true or false"),
        ("[drinks]", "[foods]", "foods: a key without meaning; allowed: dishes, drinks"),
        ('"hot ones" =', "#", "drinks: a table with nothing in it; allowed: a table of one"),
        ('["tea"]', '"tea"', "drinks.hot ones[1]: a text; allowed: a list"),
        ("[[dishes]]", "[dishes.soup]", "dishes: a table; allowed: a list"),
        ("[drinks]", "[drinks", "no TOML (Expected"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path, old, new, says):
    text = MENU.replace(old, new, 1) if old != "[[dishes]]" else MENU.replace(old, "#")
    if old == "[[dishes]]":
        text = MENU[: MENU.index(old)] + "[dishes]\nsoup = 1\n" + MENU[MENU.index("[drinks]") :]
    with pytest.raises(ConfigError, match="^" + re.escape(f"menu.toml: {says}")):
        read(tmp_path, text)


def test_no_message_quotes_a_value(tmp_path):
    text = MENU.replace('["boil"]', '["Seen today for HIV.\\n"]')
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert "HIV" not in str(error.value)


def test_a_file_that_is_missing_or_not_utf8_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"^menu\.toml can't be read \(FileNotFoundError\)"):
        read_toml(tmp_path / "menu.toml", Menu)
    (tmp_path / "menu.toml").write_bytes('name = "Ménière"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^menu\.toml can't be read \(UnicodeDecodeError\)"):
        read_toml(tmp_path / "menu.toml", Menu)
