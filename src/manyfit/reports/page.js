"use strict";
(() => {
  const { columns, rows } = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const body = document.querySelector("#table tbody");
  if (!body) return;
  const heads = [...document.querySelectorAll("#table th")];
  const query = $("query"), state = $("state"), STATE = columns.findIndex((c) => c.name === "state");
  const STEP = 100;
  let sorted = null, down = false, limit = STEP, found = null;

  const shown = (value) => value === null ? "" : typeof value === "number" ? String(+value.toPrecision(6)) : value;
  const lowered = rows.map((row) => [...row.map(shown), ...row].join("\n").toLowerCase());  // short and whole numbers
  const compare = (a, b) => {
    const [x, y] = [rows[a][sorted], rows[b][sorted]];
    if (x === null || y === null) return (x === null) - (y === null);  // missing ones are last
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return down ? -order : order;
  };
  const chosen = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const some = rows.map((_, n) => n).filter((n) =>
      (!state || !state.value || rows[n][STATE] === state.value) && words.every((word) => lowered[n].includes(word)));
    return sorted === null ? some : some.sort(compare);
  };

  const line = (n) => {
    const row = document.createElement("tr");
    rows[n].forEach((value, place) => {
      const cell = row.insertCell();
      cell.textContent = shown(value);
      if (columns[place].number) cell.className = "number";
      else if (cell.textContent.length > 40) cell.title = cell.textContent;
    });
    if (n === found) row.className = "found";
    return row;
  };
  const draw = () => {
    const some = chosen();
    body.replaceChildren(...some.slice(0, limit).map(line));
    $("count").textContent = `${Math.min(limit, some.length)} of ${some.length} shown` + (some.length < rows.length ? `, of ${rows.length}` : "");
    $("more").hidden = some.length <= limit;
    heads.forEach((head, n) => head.setAttribute("aria-sort", n !== sorted ? "none" : down ? "descending" : "ascending"));
    keep();
  };
  const again = () => { limit = STEP; draw(); };

  // A page that is loaded again while a study runs keeps what was chosen.
  const keep = () => {
    try { sessionStorage.setItem(location.pathname, JSON.stringify([sorted, down, query.value, state ? state.value : ""])); } catch { /* no storage */ }
  };
  const recall = () => {
    try {
      const kept = JSON.parse(sessionStorage.getItem(location.pathname));
      if (!kept || !(kept[0] === null || columns[kept[0]])) return;
      [sorted, down, query.value] = kept;
      if (state) state.value = kept[3];
    } catch { /* no storage */ }
  };

  const quoted = (value) => {
    const text = value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const download = () => {
    const lines = [columns.map((column) => column.name), ...chosen().map((n) => rows[n])];
    const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${document.querySelector("h1").textContent}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  heads.forEach((head, n) => head.firstElementChild.addEventListener("click", () => {
    down = sorted === n ? !down : false;
    sorted = n;
    again();
  }));
  query.addEventListener("input", again);
  if (state) state.addEventListener("change", again);
  $("csv").addEventListener("click", download);
  $("more").addEventListener("click", () => { limit += 10 * STEP; draw(); });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

  // Each group of marks knows the rows that its points stand for, in their order.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const groups = new Map();
  const points = (group) => {
    if (!groups.has(group)) {
      const path = group.firstElementChild.getAttribute("d") || "";
      const places = [...path.matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)].map((m) => [+m[1], +m[2]]);
      groups.set(group, [places, group.dataset.keys.split(" ").filter(Boolean).map(Number)]);
    }
    return groups.get(group);
  };
  const nearest = (svg, event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null, least = 14 * 14;
    for (const group of svg.querySelectorAll("[data-keys]")) {
      const [places, keys] = points(group);
      places.forEach(([x, y], n) => {
        const far = (x - at.x) ** 2 + (y - at.y) ** 2;
        if (far < least && keys[n] in rows) [least, best] = [far, keys[n]];
      });
    }
    return best;
  };
  const about = (n) => rows[n].map((value, place) => value === null || value === "" ? "" : `${columns[place].name} ${shown(value)}`).filter(Boolean).slice(0, 16).join("\n");
  for (const svg of document.querySelectorAll(".chart svg[role=img]")) {
    svg.addEventListener("pointermove", (event) => {
      const n = nearest(svg, event);
      tip.hidden = n === null;
      if (n === null) return;
      tip.textContent = about(n);
      const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, room)) + scrollX}px`;
      tip.style.top = `${event.clientY + 14 + scrollY}px`;
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("click", (event) => {
      const n = nearest(svg, event);
      if (n === null) return;
      found = n;
      query.value = "";
      if (state) state.value = "";
      limit = Math.max(STEP, chosen().indexOf(n) + 1);
      draw();
      document.querySelector("tr.found").scrollIntoView({ block: "center" });
    });
  }
  recall();
  draw();
})();
