/** The review list: ambiguous pairs and flagged events in the order of their uncertainty. */
const showReview = (place) => {
  const items = DATA.review.map(([kind, at]) => (kind ? { event: DATA.events[at] } : { pair: DATA.pairs[at] }));
  const list = el("div");
  const sides = (item) => (item.pair ? ends(item.pair) : members(item.event));
  const of = {
    all: () => true,
    between: (item) => item.pair && reasonOf(item.pair) === "between",
    title_veto: (item) => item.pair && reasonOf(item.pair) === "title_veto",
    open: (item) => item.pair && !eventOfPair(item.pair),
    event: (item) => item.event,
  };
  const settled = (item) => item.pair && judged(item.pair);
  const show = () => {
    const words = searched(find);
    const fits = (item) => of[kind.value](item) && !(hide.checked && settled(item)) &&
      (!source.value || sides(item).some((one) => DATA.names[one[SOURCE]] === source.value)) &&
      (!words.length || words.every((word) => sides(item).some((one) => haystack(one).includes(word))));
    paged(list, items.filter(fits), (item) => (item.pair ? pairCard(item.pair) : eventCard(item.event, true)), "judgement");
  };
  const sources = [...new Set(items.flatMap(sides).map((one) => DATA.names[one[SOURCE]]))].sort();
  const [find, findLabel] = search("Search", show);
  const [kind, kindLabel] = choice("Show", [["all", "everything"], ["between", "between the thresholds"], ["title_veto", "title veto"],
    ["open", "pairs not in one event"], ["event", "flagged events"]], show);
  const [source, sourceLabel] = choice("Source", [["", "all"], ...sources.map((name) => [name, name])], show);
  const [hide, hideLabel] = tick("hide judged pairs", show);
  place.append(el("div", { class: "controls" }, findLabel, kindLabel, sourceLabel, hideLabel), list);
  document.getElementById("review-total").textContent = spaced(items.length);
  show();
};
