// The search, the address, and the start

const SHOWN = 50; // matches listed
const lower = (text) => text.toLowerCase();
let searchable = null; // one line break before and after each key and name, so that one text finds all ranks
let matches = [], chosen = 0;

/** Categories that match, best first: exact, then prefix, then prefix of a word, then anywhere. */
function search(text) {
  searchable ??= keys.map((key, i) => lower(`\n${[key, ...names[i]].join("\n")}\n`));
  const wanted = lower(text.trim()), ranks = [[], [], [], []];
  if (!wanted) return [];
  searchable.forEach((line, i) => {
    if (!line.includes(wanted)) return;
    const patterns = [`\n${wanted}\n`, `\n${wanted}`, ` ${wanted}`];
    const rank = patterns.findIndex((pattern) => line.includes(pattern));
    ranks[rank < 0 ? 3 : rank].push(i);
  });
  return ranks.flatMap((rank) => rank.sort((a, b) => weights[b] - weights[a] || a - b));
}

/** The name that made a category match; its usual one where the key did. */
function bestName(index, wanted) {
  const folded = names[index].map(lower);
  const tests = [(name) => name === wanted, (name) => name.startsWith(wanted), (name) => name.includes(wanted)];
  for (const test of tests) if (folded.some(test)) return names[index][folded.findIndex(test)];
  return label(index);
}

function marked(text, wanted) {
  const folded = lower(text), at = folded.indexOf(wanted);
  if (at < 0 || folded.length !== text.length) return [text];
  const end = at + wanted.length;
  return [text.slice(0, at), element("mark", {}, text.slice(at, end)), text.slice(end)];
}

function showMatches() {
  const wanted = lower(query.value.trim());
  matches = search(query.value);
  const options = matches.slice(0, SHOWN).map((index, k) => {
    const path = mainPath(index).slice(0, -1).reverse().map(label).join(" ‹ ");
    const name = bestName(index, wanted);
    const also = name === label(index) ? [] : marked(`, ${name}`, wanted);
    const option = element("li", { role: "option", id: `option-${k}`, "aria-selected": "false" },
      element("span", { class: "name" }, ...marked(label(index), wanted), ...also),
      element("code", {}, ...marked(keys[index], wanted)),
      element("span", { class: "where" }, path || "root"));
    option.addEventListener("mousedown", (event) => event.preventDefault()); // the query keeps the focus
    option.addEventListener("click", () => pick(k));
    return option;
  });
  results.replaceChildren(...options);
  const total = plural(matches.length, "match", "matches");
  const listed = matches.length > SHOWN ? `the first ${SHOWN} of ${total}` : total;
  const message = matches.length ? listed : "No category matches.";
  $("matches").textContent = $("status").textContent = wanted ? message : "";
  showList(wanted !== "");
  choose(0);
}

function showList(open) {
  $("found").hidden = !open;
  query.setAttribute("aria-expanded", open && matches.length > 0);
  if (!open) query.removeAttribute("aria-activedescendant");
}

function choose(at) {
  const options = [...results.children];
  options[chosen]?.setAttribute("aria-selected", "false");
  chosen = Math.min(Math.max(0, at), options.length - 1);
  if (!options.length) {
    chosen = 0;
    query.removeAttribute("aria-activedescendant");
    return;
  }
  options[chosen].setAttribute("aria-selected", "true");
  options[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", options[chosen].id);
}

function pick(at) {
  showList(false);
  go(mainPath(matches[at]), { push: true });
}

query.addEventListener("input", showMatches);
query.addEventListener("focus", () => query.select());
query.addEventListener("click", () => showList(query.value.trim() !== ""));
query.addEventListener("blur", () => showList(false));
query.addEventListener("keydown", (event) => {
  const open = !$("found").hidden;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (open) choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    else if (query.value.trim()) showMatches();
  } else if (event.key === "Enter" && matches.length && query.value.trim()) {
    event.preventDefault();
    pick(chosen);
  } else if (event.key === "Escape") {
    if (open) showList(false);
    else if (query.value) query.value = "";
    else if (active) select(active);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === query) return;
  event.preventDefault();
  query.focus();
});

// The address names the selected category: a link opens the page there, and Back returns.

let remembering = 0;

function remember(index, push) {
  clearTimeout(remembering);
  const hash = "#" + encodeURIComponent(keys[index]);
  if (push && location.hash !== hash) history.pushState(null, "", hash);
  // browsers allow few changes of the address in a short time, and a held arrow key makes many
  else remembering = setTimeout(() => history.replaceState(null, "", hash), 250);
}

/** Go where the address says, if it says anything. */
function openAddress() {
  let key = location.hash.slice(1);
  try {
    key = decodeURIComponent(key);
  } catch {
    // a stray % that encodes nothing: the key as it stands
  }
  if (!key) return;
  const index = keys.indexOf(key);
  if (index < 0) {
    const message = element("p", {}, "No category has the key ", element("code", {}, key), ".");
    details.replaceChildren(element("h2", {}, "Not found"), message);
    return;
  }
  clearTimeout(remembering);
  if (active.index !== index) go(mainPath(index), { focus: false });
}

window.addEventListener("hashchange", openAddress);

const leaves = children.filter((below) => below.length === 0).length;
$("unit").textContent = unit;
$("summary").textContent = [
  plural(keys.length, "category", "categories"), plural(leaves, "leaf", "leaves"), plural(roots.length, "root"),
].join(" · ");

/** Open the first levels while they stay short, so that the page does not begin with four lines. */
function start() {
  if (!keys.length) {
    details.replaceChildren(element("p", {}, "This hierarchy has no categories."));
    return;
  }
  let level = placesOf(top), total = level.length;
  while (level.length) {
    const next = level.flatMap((node) => children[node.index]).length;
    if (!next || total + next > 60) break;
    for (const node of level) node.open = children[node.index].length > 0;
    level = level.flatMap(placesOf);
    total += next;
  }
  refresh();
  active = rows[0];
  draw();
  showDetails(active);
  openAddress();
}

start();
