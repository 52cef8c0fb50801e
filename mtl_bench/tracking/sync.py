"""``mtl-bench wandb sync``: records that exist, sent to Weights & Biases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path

from mtl_bench.errors import ConfigError, MtlBenchError, RecordError
from mtl_bench.records.reader import Record, find_records
from mtl_bench.tracking.dashboard import make_dashboard, require_package, show
from mtl_bench.words import parse_count, parse_settings, require_choice


def sync_command(words: Sequence[str]) -> int:
    """Send every record that matches, but for those that are being written; return the status.

    A record goes to the run that it would have had in its time: what is there already isn't sent
    again. Its files alone are read.

    Args:
        words: ``sync`` and KEY=VALUE settings.

    Raises:
        ConfigError: another word, a bad value, or the package isn't installed.
    """
    if list(words[:1]) != ["sync"]:
        raise ConfigError("mtl-bench wandb knows one action: mtl-bench wandb sync KEY=VALUE")
    settings = parse_settings(
        words[1:],
        profile=None,
        dataset=None,
        method=None,
        mode="offline",
        project="mtl_bench",
        entity=None,
        group=None,
        every="10",
        paths__results="results",
    )
    require_choice(settings, "mode", ("offline", "online"))
    every = parse_count(settings, "every")
    require_package("wandb")
    results = Path(str(settings["paths.results"]))
    chosen = {key: settings[key] for key in ("profile", "dataset", "method")}
    records = [r for r in find_records(results, **chosen) if r.state != "running"]
    if not records:
        raise RecordError(f"there is no record to send in {results} for these settings")
    logger = {key: settings[key] for key in ("mode", "project", "entity", "group")}
    failed = _send(records, {"name": "wandb", **logger}, every)
    sent = f"{len(records) - failed} of {len(records)} records"
    if settings["mode"] == "offline":
        print(f"{sent} are in {results / '.wandb'}; mode=online sends them")
    else:
        print(f"{sent} are in the project {settings['project']}")
    return 1 if failed else 0


def _send(records: list[Record], logger: dict[str, str | None], every: int) -> int:
    """Send records and return how many are damaged; a lost connection stops all."""
    from pyarrow import ArrowException

    failed = 0
    for record in records:
        try:
            if (record.path / "DONE").exists() and record.summary is None:
                raise RecordError(record.error)
            show(record.path, make_dashboard(logger), every, [(inf, inf)])
        except (RecordError, ArrowException, ValueError) as error:
            print(f"{record.path}: {' '.join(str(error).split())}", file=sys.stderr)
            failed += 1
        except Exception as error:  # of W&B or the disk: the next record would fare no better
            raise MtlBenchError(
                f"W&B stopped at {record.path}: {' '.join(str(error).split())}; the same command "
                "goes on there"
            ) from error
        else:
            print(record.path if record.sealed else f"{record.path} unsealed")
    return failed
