"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const picture = byId("picture"), canvas = byId("canvas"), search = byId("search"), found = byId("found");
  const nodes = [...document.querySelectorAll("a.node")], edges = [...document.querySelectorAll("path.edge")];
  const articles = [...document.querySelectorAll("article")];
  const whole = picture.viewBox.baseVal, full = { x: 0, y: 0, width: whole.width, height: whole.height };
  const view = { ...full };
  document.documentElement.classList.add("live");

  // -- moving about: the view is a part of the picture ------------------------------------------
  const show = () => picture.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  const scale = () => Math.min(canvas.clientWidth / view.width, canvas.clientHeight / view.height) || 1;
  const fit = () => {
    Object.assign(view, full);
    // A small graph is not blown up.
    const grow = Math.max(1, scale() / 1.15);
    zoom(1 / grow, full.width / 2, full.height / 2);
  };
  const zoom = (factor, x, y) => {
    const wanted = Math.min(Math.max(view.width / factor, 150), Math.max(full.width, full.height, 400) * 6);
    const by = wanted / view.width;
    view.x = x - (x - view.x) * by;
    view.y = y - (y - view.y) * by;
    view.width *= by;
    view.height *= by;
    show();
  };
  const middle = () => [view.x + view.width / 2, view.y + view.height / 2];
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    return [point.x, point.y];
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
    return words.length ? nodes.filter((node) => words.every((word) => texts.get(node.dataset.node).includes(word))) : null;
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
  window.addEventListener("resize", fit);
  window.addEventListener("load", () => requestAnimationFrame(() => { byId("details").scrollTop = 0; }));
  fit();
  choose();
})();
