"use strict";

/** Makes elements. Texts become text nodes, so no listing can become markup. */
const el = (name, options = {}, ...children) => filled(document.createElement(name), options, children);
const svg = (name, options = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), options, children);

const filled = (node, options, children) => {
  for (const [key, value] of Object.entries(options)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
};

const plural = (count, word) => `${spaced(count)} ${word}${count === 1 ? "" : "s"}`;
const spaced = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const score = (value) => value.toFixed(3);

/** The words of a text, as compared: without case and punctuation. */
const keyOf = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
const wordsOf = (text) => new Set(text.split(/[\s\-–/:,]+/u).map(keyOf).filter(Boolean));

/** The words that all texts have. */
const commonWords = (texts) => {
  const [first, ...rest] = texts.map(wordsOf);
  return new Set([...(first ?? [])].filter((word) => rest.every((words) => words.has(word))));
};

/** A text whose words are marked unless they are in `common`. */
const marked = (text, common) =>
  text.split(/([\s\-–/:,]+)/u).map((part, at) => {
    const key = at % 2 ? "" : keyOf(part);
    return key && !common.has(key) ? el("mark", {}, part) : part;
  });

/** Calls the action of a key, unless it is typed into a field or meant for the browser. */
const keys = (actions) => (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
};

/** A list in pages of 50; `render` makes one item. Only the page on screen is in the document. */
const PAGE = 50;
const paged = (place, items, render, noun) => {
  const pages = Math.ceil(items.length / PAGE);
  let page = 0;
  const go = (by) => {
    const items = [...list.children];
    const to = items[items.findIndex((item) => item.contains(document.activeElement)) + by];
    (to?.querySelector(":scope > summary") ?? to)?.focus();
  };
  const list = el("div", { class: "list", onkeydown: keys({ j: () => go(1), k: () => go(-1) }) });
  const status = el("span", { role: "status" });
  const turn = (to) => {
    page = to;
    const shown = items.slice(page * PAGE, (page + 1) * PAGE);
    list.replaceChildren(...shown.map((item, at) => render(item, at)));
    const from = spaced(page * PAGE + 1), until = spaced(page * PAGE + shown.length);
    status.textContent = items.length ? `${from} to ${until} of ${plural(items.length, noun)}` : `No ${noun} fits.`;
    back.disabled = page === 0;
    next.disabled = page >= pages - 1;
  };
  const step = (by) => {
    turn(page + by);
    place.parentElement.scrollIntoView();
  };
  const back = el("button", { type: "button", onclick: () => step(-1) }, "← Previous");
  const next = el("button", { type: "button", onclick: () => step(1) }, "Next →");
  place.replaceChildren(list, el("div", { class: "pager" }, back, status, next));
  turn(0);
};

const choice = (label, options, onchange) => {
  const select = el("select", { onchange }, options.map(([value, text]) => el("option", { value }, text)));
  return [select, el("label", {}, label, " ", select)];
};

const tick = (label, onchange) => {
  const box = el("input", { type: "checkbox", onchange });
  return [box, el("label", { class: "tick" }, box, " ", label)];
};

const search = (label, oninput) => {
  const box = el("input", { type: "search", oninput, placeholder: "title, place, id …" });
  return [box, el("label", {}, label, " ", box)];
};
