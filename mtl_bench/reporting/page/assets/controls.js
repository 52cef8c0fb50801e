/* Controls that several parts of the page share. */

let controlNumber = 0;

/** A labelled <select>; options are [value, text]. */
function selectBox(label, options, chosen, onChange) {
  controlNumber += 1;
  const id = `control-${controlNumber}`;
  const box = h(
    "select",
    { id, onchange: () => onChange(box.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  return { box, node: h("div", { class: "control" }, h("label", { for: id }, label), box) };
}

function checkBox(label, checked, onChange) {
  const box = h("input", { type: "checkbox", checked, onchange: () => onChange(box.checked) });
  return h("label", { class: "control check" }, box, label);
}

/** A slider whose text says what its number means. */
function slider(label, largest, describe, onChange) {
  controlNumber += 1;
  const id = `control-${controlNumber}`;
  const output = h("output", { for: id }, describe(0));
  const input = h("input", {
    id,
    type: "range",
    min: 0,
    max: largest,
    value: 0,
    oninput: () => {
      output.textContent = describe(Number(input.value));
      onChange(Number(input.value));
    },
  });
  return {
    output,
    input,
    node: h("div", { class: "control" }, h("label", { for: id }, label), input, output),
  };
}

/** Buttons that show and hide lines; entries are {id, label, look}. */
function legend(label, entries, hidden, onChange) {
  const buttons = entries.map((entry) => {
    const button = h(
      "button",
      {
        type: "button",
        class: "key",
        onclick: () => {
          if (!hidden.delete(entry.id)) hidden.add(entry.id);
          update();
          onChange();
        },
      },
      swatch(entry.look),
      entry.label,
    );
    return [entry, button];
  });
  const every = (hide) => () => {
    hidden.clear();
    if (hide) entries.forEach((entry) => hidden.add(entry.id));
    update();
    onChange();
  };
  function update() {
    for (const [entry, button] of buttons) button.setAttribute("aria-pressed", String(!hidden.has(entry.id)));
  }
  update();
  return h(
    "div",
    { class: "legend", role: "group", "aria-label": label },
    buttons.map(([, button]) => button),
    entries.length > 3 &&
      h(
        "span",
        { class: "every" },
        h("button", { type: "button", class: "quiet", onclick: every(false) }, "all"),
        h("button", { type: "button", class: "quiet", onclick: every(true) }, "none"),
      ),
  );
}

/**
 * Selects of a method, one of its runs and one of the run's components that have logged "kind".
 * "onChange" gets the run and the component's steps, at once and at each change.
 */
function runPicker(runs, kind, onChange) {
  const parts = h("span", { class: "control-slot" });
  let part = null; // is kept from run to run
  const labels = [...new Set(runs.map((run) => run.label))];
  const seeds = h("span", { class: "control-slot" });
  const first = [
    "taskforce",
    labels.find((label) => label.startsWith("taskforce")),
    labels.find((label) => label !== "stl" && label !== "ls"),
    labels[0],
  ].find((label) => labels.includes(label));
  const methods = selectBox(
    "Method",
    labels.map((label) => [label, label]),
    first,
    pickLabel,
  );

  function pickLabel(label) {
    const own = runs.filter((run) => run.label === label);
    const box = selectBox(
      "Run",
      own.map((run, index) => [String(index), runTitle(run, own)]),
      "0",
      (index) => pickRun(own[Number(index)]),
    );
    seeds.replaceChildren(box.node);
    pickRun(own[0]);
  }

  function pickRun(run) {
    const names = componentsWith(run, kind);
    part = names.includes(part) ? part : names[0];
    const box = selectBox(
      "Component",
      names.map((name) => [name, name]),
      part,
      (name) => {
        part = name;
        onChange(run, run.steps[name]);
      },
    );
    parts.replaceChildren(...(names.length > 1 ? [box.node] : []));
    onChange(run, run.steps[part]);
  }
  return { nodes: [methods.node, seeds, parts], start: () => pickLabel(first) };
}

/** Names of a run's components that have logged something; "" is that of the only one. */
function componentsWith(run, kind) {
  return Object.keys(run.steps || {}).filter((name) => run.steps[name][kind]);
}

/** "seed 0", with the hash where a seed has several runs, and the state unless finished. */
function runTitle(run, among) {
  const twice = among.filter((other) => other.label === run.label && other.seed === run.seed).length > 1;
  return `seed ${run.seed}${twice ? ` ${run.hash}` : ""}${run.state === "finished" ? "" : `, ${run.progress}`}`;
}

/** Mean over a centred window of 2 "reach" + 1 points; gaps stay gaps. */
function smooth(values, reach) {
  if (reach === 0) return values;
  return values.map((value, at) => {
    if (value === null) return null;
    const near = values.slice(Math.max(0, at - reach), at + reach + 1).filter((x) => x !== null);
    return near.reduce((sum, x) => sum + x, 0) / near.length;
  });
}
