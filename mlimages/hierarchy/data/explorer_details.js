// Details of the selected category

const PATHS = 12, LINKS = 200; // at most so many at a time

/** Shortest and longest depth in edges, and the number of paths from a root, going up level by level. */
function depths(index) {
  let shortest = null, longest = 0, paths = 0;
  for (let step = 0, level = new Map([[index, 1]]); level.size; step++) {
    const next = new Map();
    longest = step;
    for (const [at, ways] of level) {
      if (!parents[at].length) {
        shortest ??= step;
        paths += ways;
      }
      for (const parent of parents[at]) next.set(parent, (next.get(parent) ?? 0) + ways);
    }
    level = next;
  }
  return { shortest, longest, paths };
}

/** The first paths from a root to a category, main parents first. */
function pathsTo(index) {
  const found = [], waiting = [[index]];
  while (waiting.length && found.length < PATHS) {
    const path = waiting.pop(), above = parents[path[0]];
    if (!above.length) found.push(path);
    for (let k = above.length - 1; k >= 0; k--) waiting.push([above[k], ...path]);
  }
  return found;
}

function below(index) {
  const seen = new Set([index]);
  for (const at of seen) for (const child of children[at]) seen.add(child);
  return seen;
}

function link(path) {
  const index = path.at(-1);
  const made = element("a", { href: "#" + encodeURIComponent(keys[index]), title: keys[index] }, label(index));
  made.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab opens at the link's own address
    event.preventDefault();
    go(path, { push: true });
  });
  return made;
}

const sizeOf = (index) => (counts || descendants[index] ? ` ${format(weights[index])}` : "");

/** Links to categories, each with its number and, by `pathTo`, the place to go to. */
function linkList(indices, pathTo, size = sizeOf) {
  const list = element("ul", { class: "links" });
  const more = element("button", { type: "button" });
  const add = () => {
    const from = list.children.length;
    for (const index of indices.slice(from, from + LINKS)) {
      list.append(element("li", {}, link(pathTo(index)), element("span", { class: "size" }, size(index))));
    }
    const left = indices.length - list.children.length;
    more.textContent = `Show ${format(Math.min(LINKS, left))} more of ${format(left)}`;
    more.hidden = left === 0;
  };
  more.addEventListener("click", add);
  add();
  return [list, more];
}

// Rules of each category, the strongest first: what is usually on its images, and on whose images it is
const shares = { targets: new Map(), sources: new Map() };
(rules?.p ?? []).forEach((p, k) => {
  for (const [own, other] of [["sources", "targets"], ["targets", "sources"]]) {
    const at = rules[own][k];
    if (!shares[other].has(at)) shares[other].set(at, new Map());
    shares[other].get(at).set(rules[other][k], p);
  }
});

/** A heading and links with percentages; nothing where there are no rules. */
function ruleList(text, side, index) {
  const found = shares[side].get(index);
  if (!found) return [];
  const percent = (other) => ` ${(100 * found.get(other)).toFixed(0)}%`;
  const heading = element("h3", {}, `${text} `, element("span", { class: "size" }, format(found.size)),
    element("span", { class: "unit" }, " share of images"));
  return [element("section", { class: `rules ${side}`, "aria-label": text }, heading,
    ...linkList([...found.keys()], mainPath, percent))];
}

function showDetails(node) {
  const { index } = node, here = pathOf(node), kids = placesOf(node), { shortest, longest, paths } = depths(index);
  const facts = [
    ["Index", format(index)],
    ["Depth", shortest === longest ? shortest : `${shortest} to ${longest}`],
    ["Children", format(kids.length)],
    ["Descendants", format(descendants[index])],
  ];
  if (counts) {
    const subtree = [...below(index)];
    const labels = subtree.reduce((sum, i) => sum + counts[i], 0), used = subtree.filter((i) => counts[i] > 0).length;
    const above = node.parent === top ? 0 : counts[node.parent.index];
    const share = above && `${((100 * counts[index]) / above).toFixed(1)}% of ${label(node.parent.index)}`;
    facts.push(
      ["Images", format(counts[index]), share],
      ["Subtree: labels", format(labels), "on it and below"],
      ["Subtree: in use", format(used), `of ${plural(subtree.length, "category", "categories")}`],
    );
  }
  const shown = pathsTo(index);
  const crumbs = shown.map((path) => {
    const list = element("ol", {}, ...path.map((_, k) => element("li", {}, link(path.slice(0, k + 1)))));
    list.lastChild.firstChild.setAttribute("aria-current", "page");
    return list;
  });
  const heading = (text, count) => element("h3", {}, `${text} `, element("span", { class: "size" }, format(count)),
    element("span", { class: "unit" }, ` ${unit}`));
  const boxes = facts.map(([term, value, note]) => element("div", {}, element("dt", {}, term),
    element("dd", {}, String(value), ...(note ? [element("small", {}, ` ${note}`)] : []))));
  details.replaceChildren(
    element("h2", {}, label(index)),
    element("p", { class: "key" }, element("code", {}, keys[index])),
    ...(names[index].length > 1 ? [element("p", { class: "names" }, names[index].slice(1).join(", "))] : []),
    element("dl", {}, ...boxes),
    element("h3", {}, paths === 1 ? "Path from the root" : `${format(paths)} paths from a root`),
    element("nav", { "aria-label": "Path from the root" }, ...crumbs),
    ...(paths > shown.length ? [element("p", { class: "muted" }, `The first ${shown.length} are shown.`)] : []),
  );
  const above = parents[index], pathUp = (parent) => (here.at(-2) === parent ? here.slice(0, -1) : mainPath(parent));
  if (above.length) details.append(heading("Parents", above.length), ...linkList(above, pathUp));
  const inside = kids.map((kid) => kid.index), pathDown = (kid) => [...here, kid];
  if (kids.length) details.append(heading("Children", kids.length), ...linkList(inside, pathDown));
  details.append(...ruleList("Also on its images", "targets", index), ...ruleList("On the images of", "sources", index));
  details.scrollTop = 0;
}
