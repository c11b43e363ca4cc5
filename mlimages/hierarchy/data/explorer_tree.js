// The explorer: the data, the tree and its keys. The details and the search follow in their own files.

const data = JSON.parse(document.getElementById("data").textContent);
const { keys, names, parents, counts, descendants, rules } = data;
const weights = counts ?? descendants; // what is "large"
const unit = counts ? "images" : "descendants";
const $ = (id) => document.getElementById(id);
const tree = $("tree"), rowBox = $("rows"), details = $("details"), query = $("query"), results = $("results");
const ROW = parseFloat(getComputedStyle(tree).getPropertyValue("--row")); // height of a row in pixels
const format = new Intl.NumberFormat("en-US").format;
const collator = new Intl.Collator("en", { numeric: true });
const label = (i) => names[i][0] ?? keys[i];
const plural = (count, one, many = one + "s") => `${format(count)} ${count === 1 ? one : many}`;

const children = keys.map(() => []);
parents.forEach((above, i) => above.forEach((parent) => children[parent].push(i)));
const roots = [...keys.keys()].filter((i) => parents[i].length === 0);

/** An element; text always becomes text nodes, so a name cannot become markup. */
function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

// The tree: one node a place of a category, made when its parent is first opened

const order = {
  index: (a, b) => a - b,
  name: (a, b) => collator.compare(label(a), label(b)) || a - b,
  size: (a, b) => weights[b] - weights[a] || a - b,
};
const top = { index: -1, level: 0, open: true, places: null };
let rows = []; // the nodes on show, top to bottom
let active = null; // the one of them that is selected and has the tab stop
const drawn = new Map(); // node: its element, for the rows in view

function placesOf(node) {
  if (!node.places) {
    const below = node === top ? roots : children[node.index];
    node.places = below.map((index) => ({ index, parent: node, level: node.level + 1, open: false, places: null }));
    sortPlaces(node);
  }
  return node.places;
}

function sortPlaces(node) {
  node.places.sort((a, b) => order[$("order").value](a.index, b.index));
  node.largest = node.places.reduce((most, place) => Math.max(most, weights[place.index]), 0);
  node.places.forEach((place, position) => { place.position = position; });
}

function refresh() {
  rows = [];
  let deepest = 1;
  const waiting = [...placesOf(top)].reverse();
  while (waiting.length) {
    const node = waiting.pop();
    node.row = rows.length;
    rows.push(node);
    deepest = Math.max(deepest, node.level);
    if (node.open) for (let k = placesOf(node).length - 1; k >= 0; k--) waiting.push(node.places[k]);
  }
  tree.style.setProperty("--deepest", deepest);
  rowBox.style.height = `${rows.length * ROW}px`;
  draw();
}

/** Put the rows in view, and the active one, into the document; take the others out. */
function draw() {
  const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - 8);
  const last = Math.min(rows.length, Math.ceil((tree.scrollTop + tree.clientHeight) / ROW) + 8);
  const wanted = rows.slice(first, last);
  if (active && active.row < first) wanted.unshift(active);
  if (active && active.row >= last) wanted.push(active);
  const keep = new Set(wanted);
  for (const [node, row] of drawn) {
    if (!keep.has(node)) {
      row.remove();
      drawn.delete(node);
    }
  }
  let next = rowBox.firstChild;
  for (const node of wanted) {
    const row = drawn.get(node) ?? makeRow(node);
    if (row === next) next = next.nextSibling;
    else rowBox.insertBefore(row, next);
    updateRow(node, row);
  }
}

function makeRow(node) {
  const { index, level } = node;
  const below = children[index].length > 0;
  const row = element("div", { role: "treeitem", "aria-level": level, class: below ? "inner" : "leaf" });
  row.node = node;
  row.style.setProperty("--level", level - 1);
  const size = counts ? plural(counts[index], "image") : below ? plural(descendants[index], "descendant") : "";
  row.setAttribute("aria-label", [label(index), size].filter(Boolean).join(", "));
  row.title = `${keys[index]} ${names[index].join(", ")}`.trimEnd();
  row.append(
    element("span", { class: "twist" }),
    element("span", { class: "name" }, label(index)),
    element("span", { class: "also" }, names[index].slice(1).join(", ")),
  );
  if (counts) {
    const bar = element("span", { class: "bar" }, element("span"));
    bar.firstChild.style.width = `${(100 * counts[index]) / Math.max(1, node.parent.largest)}%`;
    row.append(bar, element("span", { class: "size" }, format(counts[index])));
  } else if (below) {
    row.append(element("span", { class: "size" }, format(descendants[index])));
  }
  drawn.set(node, row);
  return row;
}

function updateRow(node, row) {
  row.style.top = `${node.row * ROW}px`;
  row.tabIndex = node === active ? 0 : -1;
  row.setAttribute("aria-setsize", node.parent.places.length);
  row.setAttribute("aria-posinset", node.position + 1);
  row.setAttribute("aria-selected", node === active);
  if (children[node.index].length) row.setAttribute("aria-expanded", node.open);
}

/** Open or close nodes; what is selected below a closed one gives way to it. */
function setOpen(nodes, open) {
  for (const node of nodes) node.open = open && children[node.index].length > 0;
  const before = active;
  for (let node = active.parent; node !== top; node = node.parent) if (!node.open) active = node;
  refresh();
  if (active !== before) select(active);
}

function select(node, { focus = true, push = false, jump = false } = {}) {
  active = node;
  const at = node.row * ROW, { scrollTop, clientHeight } = tree;
  if (at < scrollTop || at + ROW > scrollTop + clientHeight) {
    tree.scrollTop = jump ? at - clientHeight / 3 : at < scrollTop ? at : at + ROW - clientHeight;
  }
  draw();
  if (focus) drawn.get(node).focus({ preventScroll: true });
  showDetails(node);
  remember(node.index, push);
}

/** Select the category at the end of a path of indices from a root, opening what is above it. */
function go(path, options) {
  let node = top;
  for (const [step, index] of path.entries()) {
    node = placesOf(node).find((place) => place.index === index);
    if (step < path.length - 1) node.open = true;
  }
  refresh();
  select(node, { ...options, jump: true });
}

function pathOf(node) {
  const path = [];
  for (let at = node; at !== top; at = at.parent) path.unshift(at.index);
  return path;
}

function mainPath(index) {
  const path = [index];
  while (parents[path[0]].length) path.unshift(parents[path[0]][0]);
  return path;
}

// Mouse and keyboard, after the tree pattern of the WAI-ARIA Authoring Practices

tree.addEventListener("click", (event) => {
  const node = event.target.closest("[role=treeitem]")?.node;
  if (!node) return;
  select(node);
  if (event.target.classList.contains("twist") || event.detail === 2) setOpen([node], !node.open);
});

let typed = "", typedAt = 0;
tree.addEventListener("keydown", (event) => {
  if (!active || event.ctrlKey || event.metaKey || event.altKey) return;
  const page = Math.max(1, Math.floor(tree.clientHeight / ROW) - 1);
  const to = (row) => select(rows[Math.min(rows.length - 1, Math.max(0, row))]);
  const moves = {
    ArrowDown: () => to(active.row + 1),
    ArrowUp: () => to(active.row - 1),
    PageDown: () => to(active.row + page),
    PageUp: () => to(active.row - page),
    Home: () => to(0),
    End: () => to(rows.length - 1),
    ArrowRight: () => {
      if (active.open) to(active.row + 1);
      else setOpen([active], true);
    },
    ArrowLeft: () => {
      if (active.open) setOpen([active], false);
      else if (active.parent !== top) select(active.parent);
    },
    Enter: () => setOpen([active], !active.open),
    " ": () => setOpen([active], !active.open),
    "*": () => setOpen(active.parent.places, true),
  };
  if (moves[event.key]) {
    event.preventDefault();
    moves[event.key]();
  } else if (event.key.length === 1 && event.key !== "/") {
    typed = event.timeStamp - typedAt < 700 ? typed + event.key.toLowerCase() : event.key.toLowerCase();
    typedAt = event.timeStamp;
    const from = active.row + (typed.length === 1 ? 1 : 0);
    const ahead = [...rows.slice(from), ...rows.slice(0, from)];
    const found = ahead.find((node) => label(node.index).toLowerCase().startsWith(typed));
    if (found) select(found);
  }
});

tree.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
new ResizeObserver(draw).observe(tree);

$("order").addEventListener("change", () => {
  const waiting = [top];
  while (waiting.length) {
    const node = waiting.pop();
    if (!node.places) continue;
    sortPlaces(node);
    waiting.push(...node.places.filter((place) => place.places));
  }
  drawn.clear();
  rowBox.replaceChildren();
  refresh();
  if (active) select(active, { focus: false });
});
