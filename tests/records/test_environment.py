"""What is known of the processes that made a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtl_bench.records.environment import devices_of, latest_process, with_process
from mtl_bench.records.reader import find_record

FIRST = {"started": "1", "git": {"commit": "a"}, "threads": 2, "device": "CPU"}
SECOND = FIRST | {"started": "2", "git": {"commit": "b"}, "workers": 1}
THIRD = FIRST | {"started": "3", "device": "GPU"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, Any]:
    """Return environment.json of a run that three processes made."""
    path = tmp_path / "environment.json"
    path.write_text(json.dumps(FIRST))
    for present in (SECOND, THIRD):
        path.write_text(json.dumps(with_process(path, present)))
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_first_stays_and_the_others_say_what_differs(environment: dict[str, Any]) -> None:
    assert environment == FIRST | {
        "resumed": [
            {"started": "2", "git": {"commit": "b"}, "workers": 1},
            {"started": "3", "device": "GPU"},
        ]
    }


def test_the_latest_is_the_first_with_what_differs(environment: dict[str, Any]) -> None:
    assert latest_process(environment) == THIRD
    assert latest_process(FIRST) == FIRST


def test_times_of_several_devices_are_compared_with_no_other(
    environment: dict[str, Any], tmp_path: Path
) -> None:
    assert devices_of(environment) == ["CPU", "GPU"]
    folder = tmp_path / "mini" / "qm9" / "ls" / "seed0-0123abcd"
    folder.mkdir(parents=True)
    for content, device in ((environment, "CPU, then GPU"), (FIRST, "CPU")):
        (folder / "environment.json").write_text(json.dumps(content))
        record = find_record(folder)
        assert record is not None
        assert record.device == device


@pytest.mark.parametrize("text", ["", "[]", '{"resumed": 3}', '{"resumed": [3]}'])
def test_a_damaged_file_tells_nothing_of_the_processes_before(text: str, tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    path.write_text(text)
    assert with_process(path, SECOND) == SECOND
    assert with_process(tmp_path / "missing", SECOND) == SECOND
