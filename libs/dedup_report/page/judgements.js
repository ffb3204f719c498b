/** What a person decided about pairs, kept in the browser and saved as a constraints file. */
const KEPT = `event-dedup-report:${DATA.batch}`;
const KINDS = { same: "MUST_LINK", different: "CANNOT_LINK" };

const stored = () => {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT));
    return found && typeof found.pairs === "object" && found.pairs ? found : null;
  } catch {
    return null;
  }
};

const judgements = stored() ?? { reviewer: "", pairs: {} };
const watchers = new Set();

const changedJudgements = () => {
  try {
    localStorage.setItem(KEPT, JSON.stringify(judgements));
  } catch {
    /* storage is off: the ticks live as long as the page */
  }
  for (const watcher of watchers) if (watcher.isConnected === false) watchers.delete(watcher);
  for (const watcher of watchers) watcher.dispatchEvent(new Event("judged"));
  showJudgements();
};

const named = (listing) => ({ source_code: DATA.names[listing[SOURCE]], id: listing[ID] });
const judgementKey = (pair) => {
  const [one, other] = ends(pair).map(named);
  return JSON.stringify([one.source_code, one.id, other.source_code, other.id]);
};
const judged = (pair) => judgements.pairs[judgementKey(pair)];

const judge = (pair, kind) => {
  const key = judgementKey(pair), [one, other] = ends(pair).map(named);
  if (kind) judgements.pairs[key] = { reason: "", ...judgements.pairs[key], listing_a: one, listing_b: other, kind };
  else delete judgements.pairs[key];
  changedJudgements();
};

/** The constraints file: JSON Lines in the order of the listings' names. */
const constraints = () =>
  Object.keys(judgements.pairs)
    .sort()
    .map((key) => judgements.pairs[key])
    .map(({ listing_a, listing_b, kind, reason }) =>
      JSON.stringify({ listing_a, listing_b, kind, reviewer: judgements.reviewer, reason }) + "\n")
    .join("");

/** The pairs told apart although other judgements make them one. */
const contradictions = () => {
  const parent = new Map();
  const root = (name) => {
    while (parent.has(name)) name = parent.get(name);
    return name;
  };
  const all = Object.values(judgements.pairs).map(({ listing_a, listing_b, kind }) =>
    [JSON.stringify(listing_a), JSON.stringify(listing_b), kind]);
  for (const [one, other, kind] of all) {
    if (kind === KINDS.same && root(one) !== root(other)) parent.set(root(one), root(other));
  }
  return all.filter(([one, other, kind]) => kind === KINDS.different && root(one) === root(other));
};

const download = () => {
  const url = URL.createObjectURL(new Blob([constraints()], { type: "application/jsonl" }));
  const link = el("a", { href: url, download: "constraints.jsonl" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

const forget = () => {
  if (!confirm("Forget all judgements of this page?")) return;
  judgements.pairs = {};
  changedJudgements();
};

const bar = document.getElementById("judgements");
const barText = el("span", { role: "status" });
const reviewer = el("input", {
  type: "text", value: judgements.reviewer, autocomplete: "name", placeholder: "your name",
  oninput: () => { judgements.reviewer = reviewer.value; changedJudgements(); },
});
bar.append(
  barText,
  el("label", {}, "Reviewer ", reviewer),
  el("button", { type: "button", class: "primary", id: "download", onclick: download }, "Download constraints.jsonl"),
  el("button", { type: "button", onclick: forget }, "Forget all"),
);

const showJudgements = () => {
  const kinds = Object.values(judgements.pairs).map((one) => one.kind);
  const same = kinds.filter((kind) => kind === KINDS.same).length;
  const wrong = contradictions().length;
  bar.hidden = kinds.length === 0;
  barText.replaceChildren(
    el("b", {}, `${spaced(kinds.length)} judged`), `: ${same} same, ${kinds.length - same} different`,
    wrong ? el("strong", {}, `; ${plural(wrong, "contradiction")}: told apart, but joined by others`) : "",
  );
};

/** The two buttons and the reason of a pair. */
const judgeButtons = (pair) => {
  const button = (word, kind) =>
    el("button", { type: "button", class: `judge ${word}`, onclick: () => judge(pair, judged(pair)?.kind === kind ? null : kind) },
      word === "same" ? "Same event" : "Different events");
  const same = button("same", KINDS.same), different = button("different", KINDS.different);
  const reason = el("input", {
    type: "text", placeholder: "reason (optional)", "aria-label": "Reason",
    oninput: () => { judged(pair).reason = reason.value; changedJudgements(); },
  });
  const box = el("div", { class: "judging" }, same, different, reason);
  const show = () => {
    const kind = judged(pair)?.kind;
    same.setAttribute("aria-pressed", kind === KINDS.same);
    different.setAttribute("aria-pressed", kind === KINDS.different);
    reason.hidden = !kind;
    if (kind && document.activeElement !== reason) reason.value = judged(pair).reason;
  };
  box.addEventListener("judged", show);
  watchers.add(box);
  show();
  return box;
};
