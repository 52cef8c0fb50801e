/* The task weights of one run over its updates. */

function weightsSection(dataset) {
  const runs = dataset.runs.filter((run) => componentsWith(run, "weight").length > 0);
  if (runs.length === 0) return section("Task weights", "No run here has logged weights yet.");
  const looks = taskLooks(dataset.tasks);
  const host = h("div", { class: "plot" });
  const keys = h("div");
  const caption = h("p", { class: "conditions" });
  const hidden = new Set();
  const state = { run: null, steps: null, reach: 0 };
  const picker = runPicker(runs, "weight", (run, steps) => {
    Object.assign(state, { run, steps });
    fill();
  });
  const smoothing = slider(
    "Smoothing",
    30,
    () => "off",
    (reach) => {
      state.reach = reach;
      draw();
    },
  );

  function fill() {
    const tasks = dataset.tasks.filter((task) => task.name in state.steps.weight.curves);
    keys.replaceChildren(
      legend(
        "Tasks",
        tasks.map((task) => ({ id: task.name, label: task.label, look: looks.get(task.name) })),
        hidden,
        draw,
      ),
    );
    draw();
  }

  function draw() {
    const { width, bins, curves } = state.steps.weight;
    const window = (2 * state.reach + 1) * width;
    smoothing.output.textContent = state.reach ? count(window, "update") : "off";
    const xs = centres(width, bins);
    const shown = dataset.tasks.filter((task) => task.name in curves && !hidden.has(task.name));
    const line = (task, reach, faint) => ({
      label: task.label,
      look: faint ? { ...looks.get(task.name), dash: [], width: 1 } : looks.get(task.name),
      xs,
      ys: smooth(expand(curves[task.name], bins), reach),
      faint,
    });
    plotLines(host, {
      label: `Task weights of ${state.run.label}, seed ${state.run.seed}`,
      key: state.run,
      xLabel: "update",
      yLabel: "weight",
      height: 360,
      empty: "No task is chosen.",
      lines: [
        ...(state.reach ? shown.map((task) => line(task, 0, true)) : []),
        ...shown.map((task) => line(task, state.reach, false)),
      ],
    });
    caption.textContent =
      (width > 1 ? `Each point is the mean of ${width} updates. ` : "") +
      (state.reach ? `Smoothed over ${count(window, "update")}; the pale lines are not.` : "") +
      damagedText(state.run);
  }

  const node = section(
    "Task weights",
    "What each task's loss, or gradient, is multiplied by in an update. Drag to zoom, double-click to see all.",
    h("div", { class: "controls" }, picker.nodes, smoothing.node),
    keys,
    host,
    caption,
  );
  requestAnimationFrame(picker.start);
  return node;
}

/** What the step log lacks. */
function damagedText(run) {
  return (
    (run.damaged && run.damaged.length
      ? ` Parts of the step log that can't be read are left out: ${run.damaged.join(", ")}.`
      : "") + (run.missing ? ` The step log lacks updates ${run.missing}.` : "")
  );
}
