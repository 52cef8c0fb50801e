"""Rooms import each other as docs/architecture.md allows it."""

import ast
import re

from tests.golden.cells import ROOT


def table():
    """Return room -> rooms that it may import, and room -> rooms that may import it."""
    imports, importers = {}, {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        if found := re.match(r"\| `(\w+)/` \|", line):
            *_, own, others, _ = line.split("|")
            imports[found[1]] = set(re.findall(r"`(\w+)`", own))
            importers[found[1]] = set(re.findall(r"`(\w+)`", others))
    return imports, importers


def imported(path):
    """Yield the first names below mtl_bench of what a file imports, but for types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mtl_bench."):
            yield node.module.split(".")[1]


def test_no_room_imports_what_the_page_does_not_allow():
    imports, importers = table()
    package = ROOT / "mtl_bench"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(imports) == rooms
    for room in sorted(rooms):
        found = {name for path in (package / room).rglob("*.py") for name in imported(path)}
        assert (room, (found & rooms) - imports[room]) == (room, found & {room})
        assert (room, importers[room]) == (room, {r for r in rooms if room in imports[r]})


def test_what_all_rooms_share_imports_no_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    shared = page[page.index("`tasks.py`") : page.index("are what all rooms share")]
    names = re.findall(r"`(\w+)\.py`", shared)
    for name in names:
        assert set(imported(ROOT / "mtl_bench" / f"{name}.py")) <= set(names)
