/* Tabs as in the ARIA pattern: one is in the tab order, arrows move, panels are built on demand. */

/** Fill "host" with tabs of {id, title, badge, build}; the address keeps which one is open. */
function makeTabs(host, entries) {
  const panels = entries.map((entry) =>
    h("div", {
      role: "tabpanel",
      id: `panel-${entry.id}`,
      "aria-labelledby": `tab-${entry.id}`,
      hidden: true,
      tabindex: "-1",
    }),
  );
  const tabs = entries.map((entry, index) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${entry.id}`,
        "aria-controls": `panel-${entry.id}`,
        onclick: () => open(index),
        onkeydown: (event) => move(event, index),
      },
      entry.title,
      entry.badge || null,
    ),
  );
  const built = new Set();

  function open(index, focus = false) {
    tabs.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(other === index));
      tab.tabIndex = other === index ? 0 : -1;
      panels[other].hidden = other !== index;
    });
    if (!built.has(index)) {
      built.add(index);
      panels[index].append(h("div", {}, entries[index].build()));
    }
    if (focus) tabs[index].focus();
    tabs[index].scrollIntoView({ block: "nearest", inline: "nearest" });
    history.replaceState(null, "", `#${encodeURIComponent(entries[index].id)}`);
  }

  function move(event, index) {
    const last = entries.length - 1;
    const target = {
      ArrowRight: index === last ? 0 : index + 1,
      ArrowLeft: index === 0 ? last : index - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    open(target, true);
  }

  function openNamed(id) {
    const index = entries.findIndex((entry) => entry.id === id);
    open(Math.max(0, index));
  }

  host.append(
    h("nav", { class: "tabs" }, h("div", { role: "tablist", "aria-label": "Parts of the report" }, tabs)),
    ...panels,
  );
  openNamed(decodeURIComponent(location.hash.slice(1)));
  return openNamed;
}
