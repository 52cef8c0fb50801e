"""The network of a run alone, as a file of safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from mtl_bench.errors import ConfigError, MissingExtraError
from mtl_bench.files import write_atomically
from mtl_bench.inspect.recorded_run import RecordedRun
from mtl_bench.records.reader import require_no_record


def export_network(run: RecordedRun, to: Path, rule: str | None = None) -> None:
    """Write a run's trained network; the file's metadata hold the run's configuration as JSON.

    Args:
        run: whose network.
        to: the file, which is replaced if it is there.
        rule: which network; see ``RecordedRun.load_network``.

    Raises:
        MissingExtraError: safetensors is not installed.
        ConfigError: the folder of the file doesn't exist, or it is that of a record.
        RecordError: the record has no such network.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingExtraError(
            "safetensors is missing: pip install 'mtl_bench[export]'"
        ) from error
    if not to.parent.is_dir():
        raise ConfigError(f"--to {to}: there is no folder {to.parent}")
    require_no_record(to, "--to ")
    state = run.load_network(rule).state_dict()
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    metadata = {"format": "pt", "config": json.dumps(run.config), "record": run.path.name}
    content = save(tensors, metadata)
    write_atomically(to, lambda stream: stream.write(content))
