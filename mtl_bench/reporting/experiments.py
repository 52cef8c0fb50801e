"""The rows of the paper's ablation tables and figures, and the published number of each.

A row is a label of run records: the method and the variant that ``configs/ablation`` gives it. The
sweeps of ``configs/experiment`` make the same labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from mtl_bench.reporting.published import MAIN_TABLES, NAMES

FULL = "taskforce"


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Args:
        title: what the row is called.
        label: the records' label; None for a row that is computed.
        row: its row in the published table, or None.
        columns: the published table's columns behind ``Experiment.published``, if not the usual.
    """

    title: str
    label: str | None
    row: int | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Args:
        lines: its rows.
        reference: label of the row that training cost is relative to.
        file: the published table in ``results/published``, or None.
        where: data set and network of the published numbers.
        published: published columns by header; DATASET stands for the records' data set.
        note: what a reader must know.
        dataset: the only one that it is about, or None.
        metrics: whether every metric has a column.
        sweeps: the sweeps of ``configs/experiment`` that make its runs, if not the one of its name.
    """

    lines: tuple[Line, ...]
    reference: str = FULL
    file: str | None = None
    where: str = ""
    published: tuple[tuple[str, str], ...] = ()
    note: str = ""
    dataset: str | None = None
    metrics: bool = False
    sweeps: tuple[str, ...] = ()


def _lines(rows: Sequence[tuple[str, str | None]], first: int = 0) -> tuple[Line, ...]:
    return tuple(Line(title, label, first + i) for i, (title, label) in enumerate(rows))


STL = Line("STL", "stl")
LOSS, BOTH, IMTL = "r_L", "r_L + r_G", "r_L + r_G^IMTL"
RG, RG_IMTL = ("delta_m_rg",), ("delta_m_rg_imtl",)


def _main_table(dataset: str, where: str, note: str = "", **fields: str) -> Experiment:
    """Return the table with all methods on one data set."""
    return Experiment(
        _lines([(title, method) for method, title in NAMES.items()]),
        reference="ls",
        file=MAIN_TABLES[dataset],
        where=where,
        published=tuple((head, column) for column, head in fields.items()),
        note=note,
        dataset=dataset,
        metrics=True,
    )


EXPERIMENTS = {
    "table1": _main_table("nyuv2", "NYU-v2 with MTAN", delta_m="paper Δm", delta_t="paper Δt"),
    "table2_cityscapes": _main_table(
        "cityscapes",
        "Cityscapes with PSPNet",
        "For Aligned-MTL the paper prints -0.02 here, -0.01 in appendix D, 0.01 in appendix F.2.",
        delta_m="paper Δm",
    ),
    "table2_qm9": _main_table("qm9", "QM9 with an MPNN", delta_m="paper Δm"),
    "table3": Experiment(
        (
            STL,
            *_lines(
                [
                    ("raw gradients", None),
                    ("gram, one agent", "taskforce-gram"),
                    ("+ MA", "taskforce-ma"),
                    ("+ CT", "taskforce-ct"),
                    ("+ DE", "taskforce-de"),
                    ("+ r_G", FULL),
                ]
            ),
        ),
        file="table3_ablation_nyuv2.csv",
        where="NYU-v2 with MTAN",
        published=(
            ("paper Δm", "delta_m"),
            ("paper Δt", "delta_t"),
            ("paper cost", "training_cost"),
        ),
    ),
    "table4": Experiment(
        (
            STL,
            Line("r_L, 1:0", "taskforce-de", 0, RG),
            Line("r_G, 1:0.001", FULL),
            Line("r_G, 1:0.01", "taskforce-min_norm_0.01", 1, RG),
            Line("r_G, 1:1", "taskforce-min_norm_1", 2, RG),
            Line("r_G, 0:1", "taskforce-min_norm_only", 3, RG),
            Line("r_G^IMTL, 1:0.01", "taskforce-imtl_0.01", 1, RG_IMTL),
            Line("r_G^IMTL, 1:1", "taskforce-imtl", 2, RG_IMTL),
            Line("r_G^IMTL, 0:1", "taskforce-imtl_only", 3, RG_IMTL),
        ),
        file="table4_reward_ratio_cityscapes.csv",
        where="Cityscapes with PSPNet",
        published=(("paper Δm", "delta_m_rg"),),
        note="The paper prints the ratio 1:0.01 where its text says 1:0.001; both are here.",
    ),
    "table7": Experiment(
        _lines([("STL", "stl"), (LOSS, "taskforce-de"), (BOTH, FULL), (IMTL, "taskforce-imtl")]),
        file="table7_statistics.csv",
        where="this data set",
        published=(("paper Δm", "DATASET_mean"), ("paper sd", "DATASET_std")),
        note="For r_L + r_G on QM9 the paper prints ± 0.8 here and ± 1.0 in its table 8.",
    ),
    "table8": Experiment(
        _lines(
            [
                *((NAMES[m], m) for m in ("stl", "ls", "mgda", "imtl", "nashmtl", "alignedmtl")),
                (LOSS, "taskforce-de"),
                (BOTH, FULL),
                (IMTL, "taskforce-imtl"),
            ]
        ),
        reference="ls",
        file="table8_qm9_statistics.csv",
        where="QM9 with an MPNN",
        published=(
            ("paper Δm, as reported", "reported_mean"),
            ("sd", "reported_std"),
            ("paper Δm, reproduced", "reproduced_mean"),
            ("sd", "reproduced_std"),
        ),
        note="For r_L + r_G the paper prints ± 1.0 here and ± 0.8 in its table 7.",
        dataset="qm9",
        sweeps=("table2_qm9", "table7"),
    ),
    "table9": Experiment(
        _lines(
            [
                ("STL", "stl"),
                (LOSS, "taskforce-de"),
                (BOTH, FULL),
                (IMTL, "taskforce-imtl"),
                (f"ALT, {LOSS}", "taskforce-alt_de"),
                (f"ALT, {BOTH}", "taskforce-alt"),
                (f"ALT, {IMTL}", "taskforce-alt_imtl"),
            ]
        ),
        file="table9_alternative_cityscapes.csv",
        where="Cityscapes with PSPNet",
        published=(("paper Δm", "delta_m"), ("paper cost", "runtime")),
    ),
    "figure2": Experiment(
        tuple(
            Line(f"noise {noise}, buffer {size}", f"taskforce-noise_{noise}_buffer_{size}")
            for noise, size in product(
                ("0.0", "0.1", "0.3", "0.6"), ("100", "1000", "10000", "100000")
            )
        ),
        reference="taskforce-noise_0.3_buffer_100000",
    ),
    "figure3": Experiment(
        tuple(
            Line(f"update every {steps}", f"taskforce-every_{steps}")
            for steps in (1, 2, 5, 10, 20, 50)
        ),
        reference="taskforce-every_1",
    ),
}
