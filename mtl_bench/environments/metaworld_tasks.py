"""Names of Meta-World's tasks, known without importing it."""

from __future__ import annotations

# in the order of Meta-World, which is that of MT50
NAMES = """
assembly basketball bin-picking box-close button-press-topdown button-press-topdown-wall
button-press button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble
door-close door-lock door-open door-unlock hand-insert drawer-close drawer-open faucet-open
faucet-close hammer handle-press-side handle-press handle-pull-side handle-pull lever-pull
pick-place-wall pick-out-of-hole pick-place plate-slide plate-slide-side plate-slide-back
plate-slide-back-side peg-insert-side peg-unplug-side soccer stick-push stick-pull push
push-wall push-back reach reach-wall shelf-place sweep-into sweep window-open window-close
"""
ALL_TASKS = tuple(NAMES.split())
MT4 = ("handle-press", "coffee-button", "plate-slide", "button-press-topdown")
MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
BENCHMARKS = {
    "mt4": MT4,
    "mt6": (*MT4, "reach", "drawer-close"),
    "mt10": MT10,
    "mt50": ALL_TASKS,
}
"""Tasks by the name of their benchmark. ``mt4`` and ``mt6`` are learned on a small budget: all but
``button-press-topdown`` within 35,000 steps per task by single-task SAC."""
