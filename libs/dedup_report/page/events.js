/** Events of several listings: a list to search, filter and sort, each with its listings side by side. */
const eventOf = new Map();
DATA.events.forEach((event) => event[1].forEach((at) => eventOf.set(at, event)));
const eventOfPair = (pair) => (eventOf.has(pair[0]) && eventOf.get(pair[0]) === eventOf.get(pair[1]) ? eventOf.get(pair[0]) : null);
const pairsOf = new Map();
DATA.pairs.forEach((pair) => {
  const event = eventOfPair(pair);
  if (event) pairsOf.set(event, [...(pairsOf.get(event) ?? []), pair]);
});

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const letter = (at) => LETTERS[at] ?? String(at + 1);
const members = (event) => event[1].map((at) => DATA.listings[at]);
const textOf = (event, at) => {
  const value = event[2][at - TITLE];
  return typeof value === "number" ? members(event)[value][at] : value;
};
const sourcesOf = (event) => [...new Set(members(event).map((one) => DATA.names[one[SOURCE]]))].sort();
const haystack = (listing) => [listing[ID], DATA.names[listing[SOURCE]], listing[TITLE], listing[VENUE], listing[ADDRESS]].join("\n").toLowerCase();
const haystacks = new Map();
const holds = (event, words) => {
  if (!haystacks.has(event)) haystacks.set(event, [event[0], ...members(event).map(haystack)].join("\n"));
  return words.every((word) => haystacks.get(event).includes(word));
};
const searched = (box) => box.value.toLowerCase().split(/\s+/).filter(Boolean);

const REVIEW_WORDS = {
  cluster_size: "more listings than an event should have",
  internal_similarity: "its listings are not like enough",
  time_conflict: "its listings name different start times",
};
const flags = (event) => event[5].map((reason) => REVIEW_WORDS[reason] ?? reason).join("; ");

/** What a listing says, marked where the canonical event says something else. */
const cell = (value, canonical) => {
  if (Array.isArray(value)) {
    return el("ul", { class: "plain" }, value.map((item) => el("li", {}, canonical.includes(item) ? item : el("mark", {}, item))));
  }
  return value ? marked(value, wordsOf(canonical)) : el("span", { class: "none" }, "–");
};

const ROWS = [[TITLE, "Title"], [WHEN, "When"], [VENUE, "Venue"], [ADDRESS, "Address"], [CATEGORIES, "Categories"], [TEXT, "Text"]];
const COLUMNS = 6;

const comparison = (event, columns = COLUMNS) => {
  const all = members(event), shown = all.slice(0, columns);
  const origin = (at) => event[3][at - TITLE].map(letter).join(" ");
  const rows = ROWS.filter(([at]) => all.some((one) => one[at].length)).map(([at, label]) => {
    const chosen = textOf(event, at);
    const text = Array.isArray(chosen) ? el("ul", { class: "plain" }, chosen.map((item) => el("li", {}, item))) : chosen;
    const plain = at === TEXT || at === CATEGORIES;
    return el("tr", { class: at === TEXT ? "text" : at === TITLE ? "title" : "" }, el("th", { scope: "row" }, label),
      el("td", { class: "canonical" }, text, origin(at) ? el("div", { class: "origin" }, `from ${origin(at)}`) : null),
      shown.map((one) => el("td", {}, plain ? (Array.isArray(one[at]) ? one[at].join(", ") : one[at]) : cell(one[at], chosen))));
  });
  const head = shown.map((one, at) => el("th", { scope: "col" }, el("span", { class: "letter" }, letter(at)), " ",
    el("b", {}, DATA.names[one[SOURCE]]), el("div", { class: "origin" }, one[ID])));
  const table = el("table", { class: "comparison" },
    el("thead", {}, el("tr", {}, el("td", {}), el("th", { scope: "col", class: "canonical" }, "Canonical event"), head)),
    el("tbody", {}, rows));
  table.style.minWidth = `${6 + 10 * (shown.length + 1)}rem`;
  const more = all.length - shown.length;
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Listings side by side" }, table);
  const widen = () => box.parentElement.replaceChildren(...comparison(event, all.length));
  return [box, more > 0 ? el("button", { type: "button", onclick: widen }, `Show ${plural(more, "further listing")}`) : null].filter(Boolean);
};

/** Why the listings are one event: every pair that was returned. */
const why = (event) => {
  const found = (pairsOf.get(event) ?? []).toSorted((a, b) => a[6] - b[6]);
  const place = new Map(event[1].map((at, n) => [at, letter(n)]));
  const possible = (event[1].length * (event[1].length - 1)) / 2;
  const block = (pair) => el("section", { class: "why", onkeydown: pairKeys(pair) },
    el("h4", {}, `${place.get(pair[0])} – ${place.get(pair[1])}`), verdict(pair), waterfall(pair), judgeButtons(pair));
  const few = found.slice(0, PAGE);
  const missing = possible - found.length;
  return lazily("pairs", `Why: ${plural(found.length, "pair")}, weakest first`, () => [
    few.map(block),
    found.length > few.length ? el("p", { class: "note" }, `The ${few.length} weakest of ${spaced(found.length)} pairs.`) : null,
    missing ? el("p", { class: "note" }, `${plural(missing, "further pair")}: below ${DATA.floor}, or never compared.`) : null,
  ]);
};

/** A disclosure that is filled when it is first opened. */
const lazily = (style, summary, fill, open = false) => {
  const box = el("details", { class: style }, el("summary", {}, summary));
  const show = () => {
    if (box.open && box.childElementCount === 1) box.append(...fill().flat(Infinity).filter(Boolean));
  };
  box.addEventListener("toggle", show);
  box.open = open;
  show();
  return box;
};

const eventCard = (event, open) => {
  const when = textOf(event, WHEN);
  const day = when.length > 1 ? `${when[0]} and ${when.length - 1} more` : when[0] ?? "no day";
  const confidence = event[4] === null ? "" : el("span", { class: "confidence", title: "Mean combined score of its matches" }, event[4].toFixed(2));
  const summary = [
    el("span", { class: "title" }, textOf(event, TITLE)),
    el("span", { class: "facts" }, [day, textOf(event, VENUE)].filter(Boolean).join(" · ")),
    el("span", { class: "facts" }, `${plural(event[1].length, "listing")}: ${sourcesOf(event).join(", ")}`),
    confidence,
  ];
  const flagged = event[5].length ? el("p", { class: "flag" }, `Needs review: ${flags(event)}.`) : null;
  const fill = () => [flagged, el("div", {}, ...comparison(event)), why(event), el("p", { class: "origin" }, event[0])];
  return lazily(event[5].length ? "card event flagged" : "card event", el("span", { class: "row" }, summary), fill, open);
};

const SORTS = {
  size: (a, b) => b[1].length - a[1].length,
  confidence: (a, b) => (a[4] ?? 1) - (b[4] ?? 1),
  day: (a, b) => compare((textOf(a, WHEN)[0] ?? "~").slice(4), (textOf(b, WHEN)[0] ?? "~").slice(4)),
  title: (a, b) => compare(textOf(a, TITLE).toLowerCase(), textOf(b, TITLE).toLowerCase()),
};
const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
const SIZES = { "2 or more": [2, Infinity], "just 2": [2, 2], "just 3": [3, 3], "4 to 9": [4, 9], "10 or more": [10, Infinity] };
const within = (size, [least, most]) => least <= size && size <= most;

const showEvents = (place) => {
  const shared = DATA.events.filter((event) => event[1].length > 1);
  const sources = [...new Set(shared.flatMap(sourcesOf))].sort();
  const list = el("div");
  let wide = false;
  const show = () => {
    const words = searched(find);
    const fits = (event) => (!flagged.checked || event[5].length) && within(event[1].length, SIZES[size.value]) &&
      (!source.value || sourcesOf(event).includes(source.value)) && holds(event, words);
    const found = shared.filter(fits).sort(SORTS[order.value]);
    paged(list, found, (event, at) => eventCard(event, wide || at === 0), "event");
  };
  const [find, findLabel] = search("Search", show);
  const [source, sourceLabel] = choice("Source", [["", "all"], ...sources.map((name) => [name, name])], show);
  const [size, sizeLabel] = choice("Listings", Object.keys(SIZES).map((name) => [name, name]), show);
  const [order, orderLabel] = choice("Order", [["size", "most listings"], ["confidence", "least confidence"], ["day", "day"], ["title", "title"]], show);
  const [flagged, flaggedLabel] = tick("needs review", show);
  const [open, openLabel] = tick("open all", () => { wide = open.checked; show(); });
  place.append(el("div", { class: "controls" }, findLabel, sourceLabel, sizeLabel, orderLabel, flaggedLabel, openLabel), list);
  document.getElementById("event-total").textContent = spaced(shared.length);
  show();
};
