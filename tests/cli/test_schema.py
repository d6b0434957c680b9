"""``schema snapshot`` and ``diff``."""

import json
import sys

from tests.cli.conftest import SHOP, Shop

APP = ("--app", "clishop:shop")


def change(shop: Shop, old: str, new: str) -> None:
    """Change the code of the shop."""
    assert old in SHOP
    (shop.folder / "clishop.py").write_text(SHOP.replace(old, new))
    sys.modules.pop("clishop", None)


def test_code_that_has_not_changed_keeps_its_contract(shop: Shop) -> None:
    written = shop.run("--json", "schema", "snapshot", *APP)
    compared = shop.run("schema", "diff", *APP)

    contract = json.loads((shop.folder / "headwater-schema.json").read_text())
    assert (written.code, compared.code, compared.out) == (0, 0, "")
    assert "Nothing has changed: 1 messages" in compared.err
    assert "sales.order-placed" in contract["messages"]


def test_code_that_breaks_its_contract_is_found_with_the_reason(shop: Shop) -> None:
    shop.run("schema", "snapshot", "contract.json", *APP)
    change(shop, 'total: str = "0.00"', "total: int")

    ran = shop.run("--json", "schema", "diff", "contract.json", *APP)

    assert ran.code == 1
    assert ran.rows[0]["type"] == "sales.order-placed"
    assert ran.rows[0]["field"] == "total"


def test_a_change_that_readers_tolerate_asks_for_a_new_file(shop: Shop) -> None:
    shop.run("schema", "snapshot", *APP)
    change(shop, 'total: str = "0.00"', 'total: str = "0.00"\n    note: str = ""')

    ran = shop.run("schema", "diff", *APP)

    assert ran.code == 0
    assert "write headwater-schema.json anew" in ran.err


def test_a_contract_belongs_to_an_app(shop: Shop) -> None:
    assert shop.run("schema", "snapshot").code == 2
    assert shop.run("schema", "diff", "nothing.json", *APP).code == 2
