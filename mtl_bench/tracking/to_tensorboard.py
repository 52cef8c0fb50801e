"""A run's record as event files of TensorBoard, written without torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from mtl_bench.tracking.dashboard import DashboardRun
from mtl_bench.tracking.feed import UpdateRow, final_values

FOLDER = ".tensorboard"
"""Below the results; it holds the same folders as they do, a run's events instead of its record."""


class TensorBoardDashboard:
    """Writes ``<results>/.tensorboard/<profile>/<dataset>/<label>/<run>/``.

    The horizontal axis is the update of the run. The events of a resumed run are written anew from
    its record, so that no update is there twice.
    """

    def start(self, run: DashboardRun) -> None:
        """Begin the events with the configuration and the environment as texts."""
        folder = run.results.joinpath(FOLDER, *run.place)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = EventFileWriter(str(folder))
        # makes a TensorBoard that is open forget what it read from the removed file
        self._add(0, session_log=SessionLog(status=SessionLog.START))
        self._last = 0
        self._text("about", run.about)
        for name in ("config.yaml", "environment.json"):
            text = (run.path / name).read_text(encoding="utf-8")
            self._text(name.partition(".")[0], "".join(f"    {t}\n" for t in text.splitlines()))

    def send(self, rows: Iterable[UpdateRow]) -> None:
        """Write scalars, and let an open TensorBoard see them."""
        for row in rows:
            self._scalars(row.step, row.values)
            self._last = row.step
        self._writer.flush()

    def finish(self, summary: dict[str, Any], picture: Path | None) -> None:
        """Write the final numbers at the run's last update."""
        self._scalars(self._last, final_values(summary))
        if picture is not None:
            png = picture.read_bytes()
            width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))  # its IHDR chunk
            image = Summary.Image(
                height=height, width=width, colorspace=4, encoded_image_string=png
            )
            self._values(self._last, [Summary.Value(tag="predictions", image=image)])

    def close(self, exit_status: int) -> None:
        """Close the file."""
        self._writer.close()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._values(
            step, [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )

    def _text(self, tag: str, text: str) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(
            dtype="DT_STRING",
            string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        self._values(0, [Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])

    def _values(self, step: int, values: list[Summary.Value]) -> None:
        self._add(step, summary=Summary(value=values))

    def _add(self, step: int, **content: Summary | SessionLog) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))
