"""Completion in a shell: its script, and the words that may come next. YAML files alone are read.

Every candidate is a whole word, as bash and zsh want them; the script of bash takes off what stands
before the last ``=``, where bash begins a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtl_bench.config.groups import GROUPS, find_choices, read_choice
from mtl_bench.errors import MtlBenchError
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.usage import EXAMPLES, find_fields
from mtl_bench.values import SELECTIONS

BASH = """\
_mtl_bench() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    word="${line##*[[:space:]]}"
    COMPREPLY=($(mtl-bench completion words "$line" 2>/dev/null))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[=:]}"}"}")
}
complete -o default -F _mtl_bench mtl-bench"""

ZSH = """\
#compdef mtl-bench
_mtl_bench() {
    local -a found
    found=(${(f)"$(mtl-bench completion words "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
    compadd -Q -S '' -- ${(M)found:#*=}
    compadd -Q -- ${found:#*=}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _mtl_bench mtl-bench"""

SCRIPTS = {"bash": BASH, "zsh": ZSH}

ACTIONS = ("prepare", "synth", "verify")
"""What `mtl-bench data` can do."""

OPTIONS = {
    "train": ("--multirun", "--dry-run"),
    "config": ("--yaml", "--json"),
    "export": ("--to",),
}

TABLES = ("table5", "table6", "weights", "agents", "costs", "triad")
"""Names of `mtl-bench tables` beside those of experiments and those against a method.

The modules that have them are too heavy here.
"""

FIGURES = (
    *("figure2", "figure3", "figure4", "score", "curves", "gradients", "triad", "cost"),
    *("ranking", "success", "compositions", "explosion"),
)
"""Names of `mtl-bench figures`, likewise."""

CHOSEN = ("profile", "dataset")
SETTINGS = {
    "tables": (
        *(*CHOSEN, "method", "seed", "selection", "baseline", "format"),
        *("paths.results", "paths.tables"),
    ),
    "figures": (*CHOSEN, "method", "seed", "selection", "paths.results", "paths.figures"),
    "status": (*CHOSEN, "method", "paths.results"),
    "report": ("profile", "output", "paths.results"),
    "wandb": (*CHOSEN, "method", "paths.results"),
}
"""Command -> keys that it takes."""

VALUES = {
    "selection": SELECTIONS,
    "baseline": ("own", "published"),
    "format": ("markdown", "latex", "csv"),
}
"""Key of one of these commands -> its values, where they are a few."""


def complete(line: str) -> list[str]:
    """Return the words that may stand where a command line ends, which begin as its last does.

    >>> complete("mtl-bench li")
    ['list']
    >>> complete("mtl-bench train profile=m")
    ['profile=mini']

    Args:
        line: up to the cursor; its last word is empty behind a space.
    """
    *before, last = [*line.split(), *[""] * line[-1:].isspace()]
    try:
        found = _candidates(before[1:], last)
    except MtlBenchError:  # a damaged file of configs, which the command itself tells
        return []
    return sorted({word for word in found if word.startswith(last)})


def _candidates(before: Sequence[str], last: str) -> Iterable[str]:
    if not before:
        return EXAMPLES
    command, *typed = before
    key, equals, value = last.partition("=")
    if equals:
        head, comma, _ = value.rpartition(",")
        values = VALUES.get(key, ()) if key in SETTINGS.get(command, ()) else ()
        return (f"{key}={head}{comma}{name}" for name in (*values, *_values(key)))
    words = [*OPTIONS.get(command, ()), "--help"] if last.startswith("-") else []
    match command:
        case "train" | "config":
            fields = [key for key, _, _ in find_fields()]
            return [*words, *(f"{key}=" for key in (*GROUPS.values(), *fields, *_own(typed)))]
        case "data":
            return (*words, *(ACTIONS if not typed else find_choices("dataset")))
        case "list":
            return (*words, *GROUPS)
        case "completion":
            return (*words, *SCRIPTS)
        case "tables" | "figures" | "status" | "report" | "wandb":
            return (*words, *_reports(command), *(f"{key}=" for key in SETTINGS[command]))
    return words


def _reports(command: str) -> Iterable[str]:
    """Return the tables or figures that a command can be asked for."""
    if command == "tables":
        against = (f"against_{method}" for method in find_choices("method"))
        return (*find_experiments(), *TABLES, *against)
    return FIGURES if command == "figures" else ()


def _values(key: str) -> Iterable[str]:
    return find_choices(key) if key in GROUPS.values() else ()


def _own(typed: Sequence[str]) -> Iterable[str]:
    """Yield the fields that the files of typed choices have."""
    for word in typed:
        group, _, name = word.partition("=")
        if group in GROUPS.values():
            section = read_choice(group, name).get(group) or read_choice(group, name)
            yield from (
                f"{group}.{key}"
                for key in section
                if key not in ("_target_", "defaults", "display")
            )
