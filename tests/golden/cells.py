"""The trainings whose numbers are stored: every method on every data set, and its variants."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

METHODS = sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.yaml"))

SIZES = {
    "qm9": (  # 4 epochs of 5 updates
        *("architecture.dim=4", "architecture.edge_hidden=4", "trainer.epochs=4"),
        *("dataset.train_size=50", "dataset.val_size=5", "dataset.test_size=5"),
        *("dataset.batch_size=10", "scheduler.patience=0"),
    ),
    "nyuv2": (  # 2 epochs of 5 updates, which take ten times as long
        *("architecture.width=0.01", "dataset.train_size=5", "dataset.test_size=1"),
        *("dataset.batch_size=1", "trainer.epochs=2"),
    ),
    "cityscapes": (  # 2 epochs of 5 updates
        *("architecture.width=0.01", "dataset.train_size=10", "dataset.test_size=1"),
        *("dataset.batch_size=2", "trainer.epochs=2"),
    ),
}
"""Overrides of the profile smoke with which a training takes about a second."""

AT_WORK = {
    "dwa": ("method.window=3",),
    "igbv2": (
        *("method.base_epoch=0", "method.random_epochs=1", "method.update_after_epochs=1"),
        *("method.update_every=2", "method.batch_size=4", "method.hidden_dim=8"),
    ),
    "stch": ("method.warmup_epochs=0",),
    "taskforce": ("method.batch_size=4", "method.buffer_size=100", "method.hidden_dim=8"),
}
"""Overrides with which all of a method is at work within these updates."""

VARIANTS = {
    "qm9": {
        "alignedmtl, median": ("method=alignedmtl", "method.scale_mode=median"),
        "alignedmtl, rmse": ("method=alignedmtl", "method.scale_mode=rmse"),
        "dwa, epoch": ("method=dwa", "method.variant=epoch"),
        "igbv2, gaussian": ("method=igbv2", "method.log_prob=gaussian"),
        "igbv2, tanh": ("method=igbv2", "method.log_prob=tanh"),
        "imtl, hybrid": ("method=imtl", "method.variant=hybrid"),
        "mgda, l2": ("method=mgda", "method.normalize=l2"),
        "mgda, loss": ("method=mgda", "method.normalize=loss"),
        "mgda, loss+": ("method=mgda", "method.normalize=loss+"),
        "nashmtl, ccp": ("method=nashmtl", "method.solver=ccp"),
        "pcgrad, mean": ("method=pcgrad", "method.reduction=mean"),
        "torchjd, GradVac": ("method=torchjd", "method.aggregator=GradVac"),
        "torchjd, GradDrop": ("method=torchjd", "method.aggregator=GradDrop"),
        **{
            f"taskforce, {name}": ("method=taskforce", f"ablation={name}")
            for name in ("alt", "alt_imtl", "ct", "de", "gram", "imtl", "ma")
        },
        "taskforce, loss": ("method=taskforce", "method.normalize=loss"),
        "taskforce, observed": ("method=taskforce", "method.normalize_scope=observation"),
        "taskforce, unbounded": ("method=taskforce", "method.action_bound=null"),
        "taskforce, every 3": ("method=taskforce", "method.update_every=3"),
        **{
            f"{method}, {name}": (f"method={method}", override)
            for method in ("mgda", "taskforce")
            for name, override in (
                ("representation", "gradients.level=representation"),
                ("accumulated", "trainer.accumulate=2"),
                ("skipping", "trainer.on_nonfinite=skip"),
            )
        },
        "mgda, one by one": ("method=mgda", "gradients.backend=loop"),
        "mgda, streamed": ("method=mgda", "gradients.backend=streamed"),
    },
    "nyuv2": {
        "mgda, nash": ("method=mgda", "protocol=nash"),
        "mgda, representation": (
            *("method=mgda", "architecture=segnet", "gradients.level=representation"),
        ),
        "ls, segnet": (
            *("method=ls", "architecture=segnet", "dataset.metric_average=pixel"),
            *("dataset.holdout=1", "protocol.selection=best_val"),
        ),
    },
    "cityscapes": {
        "nashmtl, nash": ("method=nashmtl", "protocol=nash"),
        "ls, 7 classes": (
            *("method=ls", "dataset.classes=7", "dataset.holdout=1"),
            "protocol.selection=best_val",
        ),
    },
}
"""What a method, a protocol or the gradients can be set to besides their defaults."""


ALWAYS = ("graddrop", "stl", "taskforce")
"""Of gradients, separate networks and agents one, which the gate trains on images; the others are
nightly there."""

WAYS = ("mgda, streamed", "taskforce, alt", "taskforce, representation", "taskforce, skipping")
"""Ways through the gradients and the update that the gate trains on QM9, beside every method."""


class Cell(NamedTuple):
    """One training: its name, its overrides, and whether some of its data are not finite."""

    name: str
    overrides: tuple[str, ...]
    poisoned: bool


def cells_of(dataset: str) -> list[Cell]:
    """Return the trainings on one data set."""
    chosen = {method: (f"method={method}",) for method in METHODS} | VARIANTS[dataset]
    cells = []
    for name, overrides in chosen.items():
        method = overrides[0].removeprefix("method=")
        words = (f"dataset={dataset}", "profile=smoke", *SIZES[dataset], *overrides)
        cells.append(Cell(name, (*words, *AT_WORK.get(method, ())), name.endswith("skipping")))
    return cells
