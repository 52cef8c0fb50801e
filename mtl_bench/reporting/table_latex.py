"""A table as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtl_bench.reporting.table import Cell, Table, Texts

ITEM = "- "
OF_COMMANDS = ("[", "*")
"""Signs in which the arguments of a command may begin."""


def as_latex(table: Table) -> str:
    """Return a booktabs tabular with everything in it; title and notes in small print below."""
    columns: Texts = [
        (table.lead, [_escape(name) for name in table.marked]),
        *table.metrics.texts(_cell),
        *table.verdict.texts(_cell),
    ]
    rows = [[cells[i] for _, cells in columns] for i in range(len(table.names))]
    lines = [
        r"\noindent",
        f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        _line([_escape(head) for head, _ in columns]),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip",
        r"{\footnotesize\raggedright",
        *(_escape(line.removeprefix(ITEM)) + r"\par" for line in (table.title, *table.notes)),
        "}",
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    """Return a row; the command before it would take a bracket or star at its start for its own."""
    row = " & ".join(cells)
    return ("{}" if row.lstrip().startswith(OF_COMMANDS) else "") + row + r" \\"


def _cell(cell: Cell) -> str:
    text = _escape(cell.text)
    return {"best": rf"\textbf{{{text}}}", "second": rf"\textit{{{text}}}", "": text}[cell.mark]


LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},  # other signs in the usual text fonts
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "ε": r"$\epsilon$",
    "μ": r"$\mu$",
    "⟨": r"$\langle$",
    "⟩": r"$\rangle$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∇": r"$\nabla$",
    "ᵀ": r"$^{\top}$",
    **{mark: f"$_{number}$" for number, mark in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    "²": "$^2$",
    "³": "$^3$",
    "°": r"$^\circ$",
    "γ": r"$\gamma$",
    "θ": r"$\theta$",
    "ξ": r"$\xi$",
    "Φ": r"$\Phi$",
    "λ": r"$\lambda$",
    "Σ": r"$\Sigma$",
    "×": r"$\times$",
    "^": r"\^{}",
    "~": r"\~{}",
    "–": "--",
    "⁰": "$^0$",
    "¹": "$^1$",
    **{mark: f"$^{number}$" for number, mark in enumerate("⁴⁵⁶⁷⁸⁹", start=4)},
}


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
