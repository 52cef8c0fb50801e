"""What the horizontal axes of learning curves may count."""

from mtl_bench.records.epochs import clocks


def test_clocks_are_what_every_line_tells():
    lines = [
        {"epoch": 1, "environment_steps": 100, "seconds": {"cpu": 30.0}},
        {"epoch": 2, "environment_steps": 200, "seconds": {"cpu": 90.0}},
    ]
    assert clocks(lines) == {"environment steps": [100, 200], "CPU minutes": [0.5, 2.0]}
    assert clocks([*lines, {"epoch": 3, "seconds": {}}]) == {}
    assert clocks([{"epoch": 1, "seconds": None, "environment_steps": "many"}]) == {}
    assert clocks([]) == {}
