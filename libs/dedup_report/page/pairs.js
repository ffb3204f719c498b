/** One pair: its two listings, and its score as a waterfall from nothing to the combined score. */
const SIGNALS = ["Date", "Place", "Title", "Description"];
const decisionOf = (pair) => DATA.names[pair[7]];
const reasonOf = (pair) => DATA.names[pair[8]];
const categoryOf = (pair) => DATA.names[pair[9]];
const tierOf = (pair) => DATA.names[pair[10]];
const personOf = (pair) => [DATA.names[pair[11]] || "a person without a name", DATA.names[pair[12]]];
const ends = (pair) => [DATA.listings[pair[0]], DATA.listings[pair[1]]];
const DECISION_WORDS = { match: "Match", ambiguous: "Ambiguous", no_match: "No match" };
const DECISION_STYLES = { match: "yes", ambiguous: "maybe", no_match: "no" };

/** Who decided a pair, and why, when it was not the scores. */
const decider = (pair) => {
  if (tierOf(pair) === "deterministic") return "";
  if (tierOf(pair) !== "person") return ` Decided by: ${tierOf(pair)}.`;
  const [name, reason] = personOf(pair);
  return reason ? ` Decided by ${name}: “${reason}”` : ` Decided by ${name}.`;
};

/** A score in [0, 1] whose odds `s / (1 - s)` are multiplied. */
const shifted = (value, odds) => (value * odds) / (1 - value + value * odds);

/** The fewest of the odds factors that lead from the weighted mean to the combined score. */
const factors = (pair, mean) => {
  const [one, other] = ends(pair), [same, different, cities] = DATA.odds;
  const source = one[SOURCE] === other[SOURCE] ? ["One source", same] : ["Two sources", different];
  const city = ["Two cities", cities];
  const fits = (some) => Math.abs(some.reduce((value, [, odds]) => shifted(value, odds || 1), mean) - pair[6]) < TOLERANCE;
  return [[], [source], [city], [source, city]].find(fits) ?? [];
};

/** Steps of [label, score, factor, points]; a rest that nothing explains is a step of its own. */
const TOLERANCE = 1e-5;
const steps = (pair) => {
  const weights = DATA.weights[categoryOf(pair)] ?? DATA.weights[""] ?? [0, 0, 0, 0];
  const total = weights.reduce((sum, weight) => sum + weight, 0) || 1;
  const found = SIGNALS.map((label, at) =>
    [label, score(pair[2 + at]), `× ${(weights[at] / total).toFixed(2)}`, (pair[2 + at] * weights[at]) / total]);
  const mean = found.reduce((sum, step) => sum + step[3], 0);
  let at = mean;
  for (const [label, odds] of factors(pair, mean)) {
    found.push([label, "odds", `× ${odds.toFixed(2)}`, shifted(at, odds) - at]);
    at = shifted(at, odds);
  }
  const rest = pair[6] - at;
  return Math.abs(rest) > TOLERANCE ? [...found, ["Other evidence", "", "", rest]] : found;
};

const WORDS = {
  above_high: (pair) => `${score(pair[6])} reaches the match threshold ${DATA.high}.`,
  title_veto: (pair) =>
    `${score(pair[6])} would be a match, but the titles score ${score(pair[4])}, below the veto ${DATA.veto}.`,
  between: (pair) =>
    `${score(pair[6])} lies between ${DATA.low} and ${DATA.high}, ${score(DATA.high - pair[6])} short of a match.`,
  below_low: (pair) => `${score(pair[6])} does not exceed ${DATA.low}.`,
  ai_same: () => "The language model said that this is one event.",
  ai_different: () => "The language model said that these are two events.",
  must_link: () => "A person said that this is one event.",
  cannot_link: () => "A person said that these are two events.",
};

const verdict = (pair) => {
  const words = WORDS[reasonOf(pair)]?.(pair) ?? `Reason: ${reasonOf(pair)}.`;
  const category = categoryOf(pair);
  return el("p", { class: "verdict" },
    el("span", { class: `key ${DECISION_STYLES[decisionOf(pair)]}` }, DECISION_WORDS[decisionOf(pair)]), " ", words,
    category ? [" Both listings are of the category ", el("b", {}, category), ", which has its own weights."] : "",
    decider(pair));
};

const SCALE = 400;
const track = (from, to, style) => {
  const left = Math.min(from, to) * SCALE, width = Math.max(Math.abs(to - from) * SCALE, 1);
  const guide = (at) => svg("line", { x1: at * SCALE, x2: at * SCALE, y1: 0, y2: 20, class: "threshold" });
  return svg("svg", { viewBox: `0 0 ${SCALE} 20`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { x: left, y: 4, width, height: 12, class: style }), guide(DATA.low), guide(DATA.high));
};

const label = (word, at) => {
  const text = el("span", {}, `${word} ${at}`);
  text.style.left = `${at * 100}%`;
  return text;
};

const waterfall = (pair) => {
  let at = 0;
  const cell = (text) => el("td", { class: "n" }, text);
  const rows = steps(pair).map(([label, value, factor, points]) => {
    const from = at;
    at += points;
    return el("tr", {}, el("th", { scope: "row" }, label),
      cell(value), cell(factor),
      cell(`${points < 0 ? "−" : "+"} ${score(Math.abs(points))}`), el("td", { class: "track" }, track(from, at, points < 0 ? "back" : "step")));
  });
  const head = ["Signal", "Score", "Factor", "Points"].map((text, n) => el("th", { scope: "col", class: n ? "n" : "" }, text));
  const scale = el("th", { scope: "col", class: "track" },
    el("div", { class: "scale" }, label("low", DATA.low), label("high", DATA.high)));
  const sum = el("tr", { class: "sum" }, el("th", { scope: "row" }, "Combined"), cell(""), cell(""),
    cell(score(pair[6])), el("td", { class: "track" }, track(0, pair[6], DECISION_STYLES[decisionOf(pair)])));
  return el("table", { class: "waterfall" }, el("thead", {}, el("tr", {}, head, scale)), el("tbody", {}, rows, sum));
};

/** A listing in short, its words marked where the other listing does not have them. */
const brief = (listing, other) => {
  const common = (at) => commonWords([listing[at], other[at]]);
  const line = (at, style) => listing[at] ? el("div", { class: style }, marked(listing[at], common(at))) : null;
  const days = listing[WHEN].map((day) => el("li", {}, other[WHEN].includes(day) ? day : el("mark", {}, day)));
  return el("div", { class: "brief" },
    el("div", { class: "origin" }, el("b", {}, DATA.names[listing[SOURCE]]), " ", listing[ID]),
    line(TITLE, "title"), el("ul", { class: "plain" }, days), line(VENUE, "venue"), line(ADDRESS, "address"),
    listing[TEXT] ? el("p", { class: "text" }, listing[TEXT]) : null);
};

const pairKeys = (pair) => keys({
  s: () => judge(pair, KINDS.same),
  d: () => judge(pair, KINDS.different),
  u: () => judge(pair, null),
});

/** A pair to judge. */
const pairCard = (pair) => {
  const [one, other] = ends(pair);
  const event = eventOfPair(pair);
  return el("article", { class: "card pair", tabindex: "0", onkeydown: pairKeys(pair), "aria-label": `${one[TITLE]} and ${other[TITLE]}` },
    el("div", { class: "sides" }, brief(one, other), brief(other, one)),
    verdict(pair),
    event ? el("p", { class: "note" }, "Both are in one event already, joined through other pairs or by their mean score.") : null,
    waterfall(pair), judgeButtons(pair));
};
