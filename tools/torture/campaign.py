"""Stories of many runs under faults, and what became of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from random import Random
from typing import Any

from mtl_bench.errors import MtlBenchError
from tools.torture.attempts import Story
from tools.torture.compare import differences, fingerprint
from tools.torture.faults import FAULTS, ON_A_MOUNT

LAST_TRIES = 3
KEPT_FINISHED = 0.2
"""Share of the finished runs that go on to suffer; the others are compared and begun anew."""
MOUNT_BYTES = 256 << 20
SMOKE_FRAMES = {"nyuv2": ("train=8", "val=4"), "cityscapes": ("train=16", "val=4")}


@dataclass
class Report:
    """What happened.

    Args:
        seed: with which the campaign can be repeated, but for the moments of the faults.
        faults: (fault, how the attempt ended) -> times.
        cells: configuration -> faults that struck it.
        runs: that were finished and compared.
        begun_anew: runs that were, since every checkpoint was damaged, as the message told to.
        step_logs_lost: runs that tell that a damaged part of their step log is missing.
        lost: runs that could not be finished.
        different: runs that ended otherwise than undisturbed ones, with what differs.
        unclear: faults that were answered by a traceback or an unknown status; what was written is
            in a file of the campaign's folder.
        seconds: in all.
    """

    seed: int
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    begun_anew: int = 0
    step_logs_lost: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, different or unclear."""
        return not (self.lost or self.different or self.unclear)


@dataclass(frozen=True)
class UndisturbedRun:
    """A configuration with its undisturbed end."""

    words: tuple[str, ...]
    seconds: float
    expected: dict[str, Any]

    @property
    def name(self) -> str:
        """Its words in a line."""
        return " ".join(self.words)


class Campaign:
    """Runs stories until a number of faults has been injected.

    Args:
        folder: where everything goes, left for a look. ``folder/data`` has the prepared data, which
            are damaged and mended.
        seed: decides faults, places and moments.
        mount: give the results a file system of their own, which takes root's rights.
        report: gets a line for each story.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        mount: bool,
        report: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.tell, self.mount = folder.absolute(), report, mount
        self.random = Random(seed)
        self.result = Report(seed)
        self.stories = 0
        self.faults = FAULTS | (ON_A_MOUNT if mount else {})

    def run(self, cells: Sequence[tuple[str, ...]], faults: int, each: int) -> Report:
        """Let ``faults`` faults strike, ``each`` of them a run, the cells in random order.

        Args:
            cells: overrides of the runs.
            faults: to be injected.
            each: faults of one run.
        """
        begin = time.monotonic()
        undisturbed = {words: self.undisturbed(words) for words in cells}
        order = self.shuffled_faults()
        for words in cycle(self.random.sample(cells, len(cells))):
            if sum(self.result.faults.values()) >= faults:
                break
            self.story(undisturbed[words], [next(order) for _ in range(each)])
        self.result.seconds = time.monotonic() - begin
        return self.result

    def undisturbed(self, words: tuple[str, ...]) -> UndisturbedRun:
        """Make the run that the others must equal."""
        results = self.folder / "undisturbed" / "-".join(words).replace("=", "_")
        story = Story(words, self.folder / "data", results, 0.0, self.random)
        end = story.attempt(neutral=False)
        if end.kind != "finished" or story.record is None:
            raise MtlBenchError(f"{' '.join(words)} fails by itself: {end.text.strip()}")
        record = story.record
        seconds = (record / "DONE").stat().st_mtime - (record / ".lock").stat().st_mtime
        self.tell(f"undisturbed: {' '.join(words)}: {seconds:.1f} s")
        return UndisturbedRun(words, seconds, fingerprint(story.record))

    def story(self, cell: UndisturbedRun, faults: Sequence[str]) -> None:
        """Let a run suffer, or several if it comes to its end, and compare what they come to."""
        self.stories += 1
        results = self.folder / f"story{self.stories}"
        results.mkdir()
        story = Story(cell.words, self.folder / "data", results, cell.seconds, self.random)
        if self.mount:
            size = f"size={MOUNT_BYTES}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", results], check=True)
        try:
            for fault in faults:
                begin = time.monotonic()
                end = self.faults[fault](story)
                self.tell(f"  {fault}: {end.kind} after {time.monotonic() - begin:.0f} s")
                self.result.faults[fault, end.kind] += 1
                self.result.cells[cell.name] += 1
                if end.kind == "unclear":
                    number = len(self.result.unclear) + 1
                    (self.folder / f"unclear{number}.txt").write_text(end.text)
                    last = end.text.strip().splitlines()[-1].partition(":")[0]
                    self.result.unclear.append(f"{cell.name}: {fault}: {last}")
                self.begin_anew_if_told(story, end.text)
                record = story.record
                finished = record is not None and (record / "DONE").exists()
                if record and finished and self.random.random() > KEPT_FINISHED:
                    self.finish(story, cell)
                    shutil.rmtree(record)
            verdict = self.finish(story, cell)
        finally:
            if self.mount:
                subprocess.run(["umount", "--lazy", results], check=True)
        self.tell(f"story {self.stories}: {cell.name}: {verdict}")

    def begin_anew_if_told(self, story: Story, text: str) -> None:
        """Move the record away where a message says that nothing else is left."""
        if "to start anew" in text and story.record is not None:
            shutil.rmtree(story.record)
            self.result.begun_anew += 1

    def finish(self, story: Story, cell: UndisturbedRun) -> str:
        """Run without faults until the end, and compare with the undisturbed run."""
        self.result.runs += 1
        for _ in range(LAST_TRIES):
            end = story.attempt(neutral=False)
            if end.kind == "finished" and story.record is not None:
                found = fingerprint(story.record)
                self.result.step_logs_lost += found["rows"] is None
                if not (unequal := differences(cell.expected, found)):
                    return "the same"
                self.result.different.append(f"{cell.name}: {', '.join(unequal)}")
                return "DIFFERENT"
            self.begin_anew_if_told(story, end.text)
        self.result.lost.append(f"{cell.name}: {end.text.strip()}")
        return "LOST"

    def shuffled_faults(self) -> Iterator[str]:
        """Yield the faults for ever, every one once in each round."""
        while True:
            names = list(self.faults)
            self.random.shuffle(names)
            yield from names


def cells(datasets: Sequence[str], methods: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the overrides of all pairs, short runs at the size of the profile ``smoke``."""
    return [
        (f"dataset={dataset}", f"method={method}", "profile=smoke", "trainer.epochs=3")
        for method, dataset in product(methods, datasets)
    ]


def prepare_data(folder: Path, datasets: Sequence[str], qm9: Path) -> None:
    """Fill ``folder`` with data of the smoke profile's size.

    Args:
        folder: data folder to be made.
        datasets: names of data sets.
        qm9: prepared QM9, which is copied; the others are procedural.
    """
    if "qm9" in datasets:
        shutil.copytree(qm9, folder / "qm9")
    for name, sizes in SMOKE_FRAMES.items():
        if name in datasets:
            program = [sys.executable, "-m", "mtl_bench", "data", "synth", name, *sizes]
            subprocess.run(
                [*program, f"paths.data={folder}"], check=True, stdout=subprocess.DEVNULL
            )
