"""Break one line of a room at a time and see whether its tests notice.

python tools/mutants.py ROOM [--count 100] [--seed 0] [--only MODULE] [-- PYTEST ARGUMENTS]

ROOM is a folder of mtl_bench/. Operators, comparisons, constants, defaults, returns and calls are
changed in a copy of the package, one a mutant in random order, and the tests of tests/ROOM that
name the module run there until one fails, those that have killed others first, then those with the
module's name in theirs. Who runs out of time counts as killed, and is told apart.
Mutants that no test can kill stand in tools/equivalent_mutants.txt with the reason, and are not
drawn. Ends with status 1 if a mutant survived.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.util
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.txt"

LIBRARIES = (
    *("torch", "numpy", "pytest", "hypothesis", "torchjd.aggregation", "cvxpy", "scipy"),
    *("torch._dynamo", "hydra.compose", "omegaconf", "pydantic", "rich.table", "pyarrow.parquet"),
)
"""What takes long to import, and is therefore imported once and not for each mutant."""

SWAPS: dict[type[ast.AST], Any] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Mutant(NamedTuple):
    """One changed line: module, line number, the line before and after, the new source."""

    path: Path
    number: int
    old: str
    new: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it whatever its line number is."""
        return str(self.path.relative_to(ROOT)), self.old, self.new


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = path.read_text().encode()  # ast counts columns in bytes
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, new in _changes(ast.parse(source)):
        begin = starts[node.lineno - 1] + node.col_offset
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = starts[node.end_lineno - 1] + node.end_col_offset
        code = ast.unparse(new)
        if code.encode() == source[begin:end]:
            continue
        mutated = (source[:begin] + code.encode() + source[end:]).decode()
        before = source[starts[node.lineno - 1] : begin].decode()
        changed = source[begin:end].decode()
        after = source[end : starts[node.end_lineno]].decode()
        old, written = (_flat(before + words + after) for words in (changed, code))
        yield Mutant(path, node.lineno, old, written, mutated)


def _flat(code: str) -> str:
    return " ".join(code.split())


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Yield nodes with what replaces each."""
    for node in _code(tree):
        if isinstance(node, ast.FunctionDef):
            yield from _other_literals(node.args)
        elif isinstance(node, ast.Constant):
            new = _other_constant(node.value)
            if new is not None:
                yield node, ast.Constant(new)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield node, ast.Return(ast.Constant(None))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node, ast.Pass()
        elif isinstance(node, ast.UnaryOp):
            yield node, _bracketed(node.operand)
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            compared = deepcopy(node)
            compared.ops[0] = SWAPS[type(node.ops[0])]()
            yield node, _bracketed(compared)
        elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
            other = deepcopy(node)
            other.op = SWAPS[type(node.op)]()
            yield node, other if isinstance(other, ast.AugAssign) else _bracketed(other)


def _bracketed(expression: ast.expr) -> ast.AST:
    """Keep it one operand of what stands around it."""
    return ast.Name(f"({ast.unparse(expression)})")


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run: no annotations, texts, assertions and ``strict``."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_ignores"):
            continue
        for child in value if isinstance(value, list) else [value]:
            text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if text or isinstance(child, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.AnnAssign) and "Literal" in ast.unparse(child.annotation):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _code(child)


def _other_constant(value: object) -> float | None:
    """Return another constant of the type, None for text."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if value + 1 != value else 2 * value
    return None


def _other_literals(arguments: ast.arguments) -> Iterator[tuple[ast.expr, ast.AST]]:
    """Yield defaults that are words, with another word that the annotation allows."""
    positional = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = [*zip(positional, arguments.defaults, strict=True)]
    pairs += [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    ]
    for argument, default in pairs:
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        if isinstance(default, ast.Constant) and isinstance(default.value, str):
            words = {"HeadWeighting": ["weighted", "unweighted"]}.get(kind, [])
            if kind.startswith("Literal["):
                words = list(ast.literal_eval(f"[{kind[len('Literal[') : -1]}]"))
            other = [word for word in words if word != default.value]
            if other:
                yield default, ast.Constant(other[0])


def equivalent() -> set[tuple[str, str, str]]:
    """Read the mutants that no test can kill: path, old line, new line and reason in each block."""
    known = set()
    for block in EQUIVALENT.read_text().split("\n\n"):
        lines = block.strip().splitlines()
        if not lines or lines[0].startswith("#"):
            continue
        path, old, new = (line.strip() for line in lines[:3])
        known.add((path, old.removeprefix("- "), new.removeprefix("+ ")))
    return known


def sandbox(folder: Path) -> None:
    """Copy what a mutant or a test could change, and link the rest."""
    for entry in ROOT.iterdir():
        if entry.name in ("mtl_bench", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(entry, folder / entry.name, ignore=ignored)
        elif not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)


def tests_of(folder: Path, room: str, module: Path) -> list[str]:
    """Return the room's test files that name a module, those that name it most first; else all."""
    files = sorted((folder / "tests" / room).rglob("test_*.py"))
    name = module.parent.name if module.stem == "__init__" else module.stem
    count = {file: file.read_text().lower().count(name) for file in files}
    naming = sorted((file for file in files if count[file]), key=lambda file: -count[file])
    return [str(file.relative_to(folder)) for file in naming or files]


class Killers:
    """Plugin of pytest that runs first what has killed most mutants of a module so far."""

    def __init__(self, known: Counter[str], place: Path, module: str) -> None:
        self.known = known
        self.place = place
        self.module = module

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the tests."""
        items.sort(
            key=lambda item: (-self.known[item.nodeid], self.module not in item.nodeid.lower())
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down who failed."""
        if report.failed:
            self.place.write_text(report.nodeid)


def _test(folder: Path, words: list[str], seconds: int, killers: Counter[str], module: str) -> None:
    """Run pytest in the sandbox; called in a process of its own."""
    import hypothesis
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    with (folder / "output.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path.insert(0, str(folder))
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a failure need not be small
    hypothesis.settings.register_profile("mutants", phases=phases, database=None)
    hypothesis.settings.load_profile("mutants")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugin = Killers(killers, folder / "killer.txt", module)
    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", *words]
    os._exit(int(pytest.main(options, plugins=[plugin])))


def run(
    folder: Path, words: list[str], seconds: int, killers: Counter[str], module: str = ""
) -> int:
    """Return the status of the tests, negative if they ran out of time; count who failed."""
    killer = folder / "killer.txt"
    killer.write_text("")
    process = multiprocessing.get_context("fork").Process(
        target=_test, args=(folder, words, seconds, killers, module)
    )
    process.start()
    process.join()
    killers[killer.read_text()] += 1
    assert process.exitcode is not None
    return process.exitcode


def parse() -> argparse.Namespace:
    """Read the command line; what stands behind -- is for pytest."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("room")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="name of one module")
    parser.add_argument("--limit", type=int, default=60, help="seconds of CPU for a mutant")
    parser.set_defaults(pytest=sys.argv[end + 1 :])
    return parser.parse_args(sys.argv[1:end])


def main() -> int:
    """Draw mutants, run their tests and print who survived."""
    chosen = parse()
    known = equivalent()
    room = ROOT / "mtl_bench" / chosen.room
    every = [
        mutant
        for path in sorted(room.rglob("*.py"))
        if chosen.only in ("", path.stem)
        for mutant in mutants_of(path)
    ]
    alive = [mutant for mutant in every if mutant.key not in known]
    drawn = random.Random(chosen.seed).sample(alive, min(chosen.count, len(alive)))
    print(f"{chosen.room}: {len(every)} mutants, {len(every) - len(alive)} of them equivalent")
    for name in LIBRARIES:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    os.environ["OMP_NUM_THREADS"] = "1"
    gc.freeze()  # a forked process needs not search what is here
    survivors = 0
    killers: defaultdict[Path, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sandbox(folder)
        if run(folder, [f"tests/{chosen.room}", *chosen.pytest], 3600, Counter()):
            print((folder / "output.txt").read_text())
            raise SystemExit("The tests fail without a mutant.")
        for k, mutant in enumerate(drawn, start=1):
            place = folder / mutant.path.relative_to(ROOT)
            began = time.monotonic()
            place.replace(folder / "kept.py")
            place.write_text(mutant.source)
            os.utime(place, (k, k))  # so that no bytecode of another mutant fits it
            words = tests_of(folder, chosen.room, mutant.path) + chosen.pytest
            status = run(folder, words, chosen.limit, killers[mutant.path], mutant.path.stem)
            (folder / "kept.py").replace(place)
            survived = status in (0, 5)  # 5: no test ran
            survivors += survived
            word = "SURVIVED" if survived else "killed" if status > 0 else "timeout"
            seconds = time.monotonic() - began
            print(f"{k:3} {word:8} {seconds:4.0f} s  {mutant.key[0]}:{mutant.number}")
            print(f"      - {mutant.old}\n      + {mutant.new}", flush=True)
    killed = len(drawn) - survivors
    print(f"{killed} of {len(drawn)} killed, {100 * killed / max(len(drawn), 1):.0f} %")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
