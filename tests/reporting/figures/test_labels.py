from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.config.groups import describe_group
from mtl_bench.reporting.figures.label_placement import overlap, place_boxes, spread_out
from mtl_bench.reporting.figures.looks import (
    DASHES,
    PALETTE,
    find_look,
    method_looks,
    task_looks,
)

WANTED = st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=15)


@given(WANTED)
def test_labels_keep_their_order_their_distance_and_the_panel(wanted):
    gap = min(0.08, 1 / max(len(wanted) - 1, 1))
    placed = spread_out(wanted, 0.08, 0.0, 1.0)
    ordered = sorted(placed)
    assert all(after - before >= gap - 1e-9 for before, after in pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 1 + 1e-9
    for i, j in combinations(range(len(wanted)), 2):
        if wanted[i] < wanted[j]:
            assert placed[i] < placed[j] + 1e-9


def test_labels_with_room_stay_where_they_are():
    assert spread_out([0.9, 0.1, 0.5], 0.2, 0.0, 1.0) == pytest.approx([0.9, 0.1, 0.5])


def test_labels_of_one_place_spread_evenly_around_it():
    assert spread_out([0.5, 0.5, 0.5], 0.1, 0.0, 1.0) == pytest.approx([0.4, 0.5, 0.6])


def test_a_group_moves_no_further_than_least_squares_asks():
    # three in one place push the fourth; 0.5 - 0, 0.5 - 0.1, 0.5 - 0.2, 0.6 - 0.3 pool to 0.375
    placed = spread_out([0.5, 0.5, 0.5, 0.6], 0.1, 0.0, 1.0)
    assert placed == pytest.approx([0.375, 0.475, 0.575, 0.675])


def test_boxes_of_crowded_points_do_not_cover_points_or_each_other():
    points = [(50.0 + 9 * i, 50.0 + 5 * i) for i in range(6)]
    markers = [(x - 1, y - 1, x + 1, y + 1) for x, y in points]
    frame = (0.0, 0.0, 200.0, 120.0)
    boxes = place_boxes(points, [(25.0, 8.0)] * 6, frame, markers, 5.0)
    assert all(overlap(a, b) == 0 for a, b in combinations(boxes, 2))
    assert all(overlap(box, marker) == 0 for box in boxes for marker in markers)
    assert all(overlap(box, frame) == pytest.approx(200) for box in boxes)


def test_a_label_leaves_the_side_that_is_outside():
    (box,) = place_boxes([(98.0, 50.0)], [(20.0, 8.0)], (0, 0, 100, 100), [], 4.0)
    assert box[2] <= 100


def test_every_method_looks_like_itself_and_like_no_other():
    methods = list(describe_group("method"))
    own = {name: look for name in methods if (look := find_look(name))}
    assert len({(look.colour, look.marker) for look in own.values()}) == len(own) == len(methods)
    variants = [f"taskforce-{i}" for i in range(200)]
    looks = method_looks([*methods, *variants])
    assert looks["ls"] == method_looks(["uw", "ls"])["ls"] == own["ls"]
    assert len({look[:2] for look in [*looks.values()][: len(PALETTE) * len(DASHES)]}) == 56
    assert len(set(looks.values())) == len(looks)


def test_a_variant_never_has_the_look_of_a_method_that_is_not_shown():
    (variant,) = method_looks(["taskforce-ct"]).values()
    methods = method_looks(list(describe_group("method"))).values()
    assert variant[:2] not in {look[:2] for look in methods}


def test_fifty_tasks_look_different():
    looks = task_looks([f"task{i}" for i in range(50)])
    assert len({look[:2] for look in looks.values()}) == 50
