"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const picture = byId("picture"), canvas = byId("canvas"), search = byId("search"), found = byId("found");
  const nodes = [...document.querySelectorAll("a.node")], edges = [...document.querySelectorAll("path.edge")];
  const articles = [...document.querySelectorAll("article")];
  const whole = picture.viewBox.baseVal, full = { x: 0, y: 0, width: whole.width, height: whole.height };
  const view = { ...full }, READABLE = 0.8;
  document.documentElement.classList.add("live");

  // -- moving about: the view is a part of the picture ------------------------------------------
  const show = () => picture.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  const scaleOf = (part) => Math.min(canvas.clientWidth / part.width, canvas.clientHeight / part.height) || 1;
  const scale = () => scaleOf(view);
  let fitted = true;
  const fit = () => {
    Object.assign(view, full);
    // A small graph is not blown up.
    const grow = Math.max(1, scale() / 1.15);
    zoom(1 / grow, full.width / 2, full.height / 2);
    fitted = true;
  };
  const zoom = (factor, x, y) => {
    const wanted = Math.max(Math.min(scale() * factor, 6), Math.min(scaleOf(full), 1) / 6);
    const by = scale() / wanted;
    view.x = x - (x - view.x) * by;
    view.y = y - (y - view.y) * by;
    view.width *= by;
    view.height *= by;
    fitted = false;
    show();
  };
  const middle = () => [view.x + view.width / 2, view.y + view.height / 2];
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  // In a large graph that is seen whole, a box is a few dots high: too small for what was asked for.
  const approach = (node) => {
    const box = node.querySelector("rect"), by = READABLE / scale();
    if (by < 2) return;
    const x = box.x.baseVal.value + box.width.baseVal.value / 2, y = box.y.baseVal.value + box.height.baseVal.value / 2;
    view.x = x - view.width / 2;
    view.y = y - view.height / 2;
    zoom(by, x, y);
  };
  const reveal = (node) => {
    const box = node.querySelector("rect"), x = box.x.baseVal.value, y = box.y.baseVal.value;
    const width = box.width.baseVal.value, height = box.height.baseVal.value, edge = 20;
    const wide = canvas.clientWidth / scale(), high = canvas.clientHeight / scale();
    const left = view.x + (view.width - wide) / 2, top = view.y + (view.height - high) / 2;
    if (x < left + edge) view.x -= left + edge - x;
    if (x + width > left + wide - edge) view.x += x + width - (left + wide - edge);
    if (y < top + edge) view.y -= top + edge - y;
    if (y + height > top + high - edge) view.y += y + height - (top + high - edge);
    show();
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 500), ...at(event));
  }, { passive: false });
  let held = null, dragged = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = [event.clientX, event.clientY];
    dragged = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (!held) return;
    const by = scale(), [x, y] = held;
    if (!dragged && Math.hypot(event.clientX - x, event.clientY - y) < 4) return;
    dragged = true;
    fitted = false;
    canvas.classList.add("held");
    view.x -= (event.clientX - x) / by;
    view.y -= (event.clientY - y) / by;
    held = [event.clientX, event.clientY];
    show();
  });
  window.addEventListener("pointerup", () => { held = null; canvas.classList.remove("held"); });
  canvas.addEventListener("dragstart", (event) => event.preventDefault());
  canvas.addEventListener("click", (event) => { if (dragged) { event.preventDefault(); event.stopPropagation(); } }, true);

  // -- one node chosen ----------------------------------------------------------------------------
  let clicked = false;
  picture.addEventListener("click", (event) => {
    const link = event.target.closest("a.node");
    clicked = Boolean(link) && event.detail > 0 && link.dataset.node !== chosen();
  });
  const chosen = () => decodeURIComponent(location.hash).replace(/^#node=/, "");
  const choose = () => {
    const name = chosen(), node = nodes.find((one) => one.dataset.node === name);
    for (const one of nodes) one.classList.toggle("chosen", one === node);
    for (const edge of edges)
      edge.classList.toggle("near", Boolean(node) && [edge.dataset.from, edge.dataset.to].includes(name));
    for (const article of articles)
      article.classList.toggle("open", node ? article.dataset.node === name : article.id === "overview");
    // The browser scrolls to what the address names, by itself and late.
    byId("details").scrollTop = 0;
    requestAnimationFrame(() => { byId("details").scrollTop = 0; });
    // Who clicks in the picture has found the node, and keeps the view.
    if (node && !clicked) approach(node);
    clicked = false;
    if (node) reveal(node);
  };
  const close = () => {
    const name = chosen();
    history.replaceState(null, "", location.pathname + location.search);
    choose();
    const node = nodes.find((one) => one.dataset.node === name);
    if (node) node.focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", () => { choose(); canvas.scrollTop = canvas.scrollLeft = 0; });
  for (const node of nodes) node.addEventListener("focus", () => { if (node.matches(":focus-visible")) reveal(node); });

  // -- search: names, kinds, prompts, columns, all that the details say -----------------------------
  const texts = new Map(articles.filter((one) => one.dataset.node)
    .map((one) => [one.dataset.node, one.textContent.toLowerCase()]));
  const matches = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const kept = nodes.filter((node) => words.every((word) => texts.get(node.dataset.node).includes(word)));
    // Nodes that are called so come before those whose details only speak of it.
    const named = (node) => words.every((word) => node.dataset.node.toLowerCase().includes(word));
    return [...kept.filter(named), ...kept.filter((node) => !named(node))];
  };
  const filter = () => {
    const kept = matches();
    for (const node of nodes) node.classList.toggle("faint", Boolean(kept) && !kept.includes(node));
    for (const edge of edges) edge.classList.toggle("faint", Boolean(kept));
    found.textContent = kept ? `${kept.length} of ${nodes.length}` : "";
  };
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => {
    const kept = matches();
    if (event.key === "Enter" && kept && kept.length) {
      const next = kept[(kept.findIndex((node) => node.dataset.node === chosen()) + 1) % kept.length];
      location.hash = `node=${next.dataset.node}`;
    }
    if (event.key === "Escape") { search.value = ""; filter(); search.blur(); event.stopPropagation(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") close();
    else if (event.key === "/") { event.preventDefault(); search.focus(); }
    else if (event.key === "+" || event.key === "=") zoom(1.25, ...middle());
    else if (event.key === "-") zoom(0.8, ...middle());
    else if (event.key === "0") fit();
  });
  byId("in").addEventListener("click", () => zoom(1.25, ...middle()));
  byId("out").addEventListener("click", () => zoom(0.8, ...middle()));
  byId("fit").addEventListener("click", fit);
  window.addEventListener("beforeprint", () => { Object.assign(view, full); show(); });
  window.addEventListener("afterprint", fit);
  window.addEventListener("resize", () => { if (fitted) fit(); });
  window.addEventListener("load", () => requestAnimationFrame(() => { byId("details").scrollTop = 0; }));
  fit();
  choose();
})();
