"""What the help of each command shows beside its arguments: examples, choices and fields."""

from __future__ import annotations

import re
import textwrap

from mtl_bench.config.groups import GROUPS, find_choices, find_config_folder

EXAMPLES = {
    "train": (
        "mtl-bench train dataset=qm9 method=taskforce profile=mini seed=0",
        "mtl-bench train -m dataset=qm9 method=ls,mgda,taskforce profile=mini seed=0,1,2",
    ),
    "config": (
        "mtl-bench config dataset=qm9 method=nashmtl profile=mini",
        "mtl-bench config dataset=pendulum6 method=ls profile=mini --yaml",
    ),
    "data": ("mtl-bench data prepare qm9", "mtl-bench data synth nyuv2 paths.data=data"),
    "list": ("mtl-bench list methods", "mtl-bench list profiles"),
    "status": ("mtl-bench status", "mtl-bench status profile=mini dataset=qm9"),
    "tables": ("mtl-bench tables profile=mini", "mtl-bench tables table3 profile=mini format=csv"),
    "figures": (
        "mtl-bench figures profile=mini",
        "mtl-bench figures curves profile=mini dataset=qm9",
    ),
    "show": ("mtl-bench show RUN", "mtl-bench show RUN samples=8"),
    "eval": ("mtl-bench eval RUN", "mtl-bench eval RUN tolerance=1e-3"),
    "export": (
        "mtl-bench export RUN --to network.safetensors",
        "mtl-bench export RUN --to last.safetensors rule=last",
    ),
    "replay": ("mtl-bench replay RUN", "mtl-bench replay RUN step=1"),
    "report": ("mtl-bench report profile=mini", "mtl-bench report profile=mini output=page.html"),
    "toy": ("mtl-bench toy", "mtl-bench toy landscape=valley steps=100"),
    "game": ("mtl-bench game", "mtl-bench game seeds=2 paths.figures=pictures"),
    "grams": (
        "mtl-bench grams steps=200 seeds=1 only=bandit",
        "mtl-bench grams only=maddpg,bandit",
    ),
    "wandb": (
        "mtl-bench wandb sync profile=mini",
        "mtl-bench wandb sync profile=mini mode=online project=mtl",
    ),
    "completion": ('eval "$(mtl-bench completion bash)"', 'eval "$(mtl-bench completion zsh)"'),
}
"""Two for each command. RUN stands for the folder of a record, as ``train`` and ``status`` name
it."""

FIELD = re.compile(r"(  )?(\w+): *([^#\s]*) *(?:# (.*))?")
"""A line of configs/train.yaml: indentation, key, value, what it is."""


def examples(command: str) -> str:
    """Return the examples of a command, and what RUN is where it stands in one."""
    lines = "\n".join(f"  {line}" for line in EXAMPLES[command])
    folder = "\n\nRUN is the folder of a record, such as results/mini/qm9/ls/seed0-15175008"
    return f"examples:\n{lines}{folder * ('RUN' in lines)}"


def describe_words() -> str:
    """Return the groups with their choices, and the fields of every run with their defaults."""
    lines = ["choices (`mtl-bench list methods` and so on say what each is):"]
    for group in GROUPS.values():
        listed = textwrap.wrap(" ".join(find_choices(group)), 78)
        lines += [f"  {group}=", *(f"      {line}" for line in listed)]
    fields = [(f"{key}={value}", what) for key, value, what in find_fields()]
    width = max(len(word) for word, _ in fields)
    lines += ["", "fields, beside optimizer.lr=, method.FIELD= and others of the choices, which"]
    lines += ["`mtl-bench config` shows with their values:"]
    lines += [f"  {word:<{width}}  {what}".rstrip() for word, what in fields]
    return "\n".join(lines)


def find_fields() -> list[tuple[str, str, str]]:
    """Return key, default and meaning of the fields that every run has, from train.yaml."""
    text = (find_config_folder() / "train.yaml").read_text(encoding="utf-8")
    fields, section = [], ""
    for line in text.partition("\n\n")[2].splitlines():
        if found := FIELD.fullmatch(line):
            indent, key, value, what = found.groups()
            section = section if indent else ""
            if value:
                fields.append((f"{section}{key}", value.replace("???", ""), what or ""))
            else:
                section = f"{key}."
    return [field for field in fields if not field[0].startswith("hydra.")]
