// Draws what a report tells: `show(data)`, which may be called again with newer data.
//
// Words come made, as the text report has them (`report/page.py` lists what `data` holds); which
// charts there are, and how they look, is decided here. Names come from other programs, so they
// become text nodes and canvas text, never markup.
"use strict";

const FEW_PARTS = 6, MOST_STEPS = 24;
const GRAVE = new Set(["warning", "error", "critical"]);

const charts = [];
let shown = null, drawn = "";

function show(data) {
  shown = data;
  calendar = data.curves;
  document.title = data.title;
  document.getElementById("top").replaceChildren(...summary(data));
  const specs = data.curves ? pictures(data.curves) : [];
  const names = JSON.stringify(specs.map((one) => [one.title, one.lines.map(({name}) => name)]));
  if (drawn === names && charts.length) charts.forEach((chart, at) => chart.update(specs[at]));
  else draw(specs, data.no_curves);
  drawn = names;
  document.getElementById("rest").replaceChildren(...data.sections.flatMap(section));
}

function draw(specs, instead) {
  const zoomed = charts.find((one) => !one.isWhole)?.plot.scales.x;
  charts.splice(0).forEach((chart) => chart.plot.destroy());
  const place = document.getElementById("charts");
  place.replaceChildren();
  if (!specs.length && !instead) return;
  place.append(make("h2", {}, "Over time"));
  if (!specs.length) return place.append(make("p", {class: "soft"}, instead));
  const grid = make("div", {class: "charts"});
  place.append(
    make("p", {class: "soft keys"}, "Drag to zoom in, double-click for all; on a chart with the "
      + "focus: arrows read values, + and - zoom, Esc shows all."),
    grid,
  );
  for (const spec of specs) charts.push(new Chart(spec, grid));
  if (zoomed) zoomAll(zoomed.min, zoomed.max);
}

function summary(data) {
  const facts = data.facts.map(([name, value, ...smaller]) => make("div", {},
    make("dt", {}, name),
    make("dd", {}, value, ...smaller.map((one) => make("small", {}, one)))));
  return [
    make("h1", {}, data.title),
    make("p", {class: "soft"}, data.when),
    make("div", {class: `verdict ${data.level}`},
      make("strong", {}, data.headline), make("p", {}, data.outlook)),
    ...(facts.length ? [make("dl", {class: "facts"}, ...facts)] : []),
  ];
}

function section({title, text, list, notes, head, rows, more, culprits}) {
  const made = [make("h2", {}, title)];
  if (text) made.push(make("p", {class: "soft"}, text));
  if (list) made.push(make("dl", {class: "list"}, ...list.flatMap(
    ([name, words]) => [make("dt", {}, name), make("dd", {}, words)])));
  if (notes) made.push(make("ul", {}, ...notes.map((one) => make("li", {}, one))));
  if (culprits) made.push(...culprits.map(culprit));
  if (culprits?.[0].chain.length) made.push(drawing(culprits[0].chain));
  if (rows) made.push(table(title, head, rows));
  if (more) made.push(make("p", {class: "soft"}, more));
  return made;
}

function culprit({name, lines, chain}) {
  const steps = chain.map((one) => make("li", {}, one));
  return make("div", {class: "culprit"}, make("h3", {}, name),
    ...lines.map((one) => make("p", {}, one)),
    ...(steps.length ? [make("p", {class: "soft"}, "Held by:"),
      make("ol", {class: "chain"}, ...steps)] : []));
}

// A chain as boxes from the root to what it holds; both ends of what is long tell the most.
function drawing(chain) {
  const left = chain.length - MOST_STEPS + 1, half = MOST_STEPS / 2;
  const steps = left < 2 ? chain
    : [...chain.slice(0, half), `\u2026 ${left} more \u2026`, ...chain.slice(1 - half)];
  const cut = (step) => (step.length <= 38 ? step : `${step.slice(0, 18)}\u2026${step.slice(-18)}`);
  return make("div", {class: "drawing", role: "img",
    "aria-label": `Reference chain: ${chain.join(" to ")}`},
  ...steps.map((step) => make("div", {title: step}, cut(step))));
}

// On a narrow screen each row becomes a block. A cell is text, or text and a share for a bar.
function table(title, head, rows) {
  const cell = (told, at) => {
    const [words, share] = Array.isArray(told) ? told : [told, null];
    const made = make("td", at ? {"data-of": head[at]} : {}, words);
    if (GRAVE.has(words)) made.className = words;
    if (share !== null) made.append(make("span", {class: "bar", "aria-hidden": "true"},
      make("i", {style: `width:${Math.min(Math.max(share, 0), 1) * 100}%`})));
    return made;
  };
  return make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title},
    make("table", {class: "stack"},
      make("thead", {}, make("tr", {}, ...head.map((one) => make("th", {scope: "col"}, one)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell))))));
}

// Which charts there are: memory first, then what explains it, then what goes on beside it.

function pictures(curves) {
  return [memory(curves), explained(curves), held(curves), ...items(curves), ...beside(curves)]
    .filter((one) => one !== null);
}

function memory({t, columns: {rss, used}, limit, marks, trend, restarts, now, end}) {
  const differs = rss.some((one, at) => one !== null && Math.abs(one - used[at]) > 0.02 * one);
  // The axis goes on to where the limit is reached, if that is near.
  const isAhead = end > t.at(-1), times = isAhead ? [...t, end] : t;
  const resident = {name: "resident memory", values: rss, colour: differs ? 7 : 1, dash: differs};
  const lines = differs ? [{name: "memory used", values: used, colour: 1}, resident] : [resident];
  if (trend) lines.push({
    name: "trend", colour: 5, dash: true,
    values: times.map((at) => (at < trend.begin ? undefined
      : Math.max(0, trend.value + (at - trend.at) / HOUR * trend.rate))),
  });
  const isNear = limit && (most([...used, ...rss]) >= 0.4 * limit || isAhead);
  const levels = isNear ? [{name: "limit", at: limit, isLimit: true}, ...marks
    .map(([name, at]) => ({name, at})).filter((one) => one.at < limit)] : [];
  let words = `${bytes(known(rss)[0])} at ${read(t[0])}, ${bytes(last(rss))} at the end.`;
  if (limit && !isNear) words += ` The limit of ${bytes(limit)} is far above.`;
  if (isNear) words += ` Lines: ${levels.map(({name, at}) => `${name} ${bytes(at)}`).join(", ")}.`;
  if (trend) words += ` The trend is ${signed(bytes, trend.rate)}/h.`;
  const moments = restarts.map((at) => ({name: "restart", at}));
  if (isAhead) moments.push({name: "now", at: now});
  return {title: "Memory", words, unit: "bytes", t: times, lines, levels, moments};
}

// How much of the memory bounded parts explain; none where none is known to hold any.
function explained({t, columns: {rss, explained: bounded, governed}}) {
  const isBounded = most(bounded) > 0, parts = isBounded ? bounded : governed;
  if (!rss.some((one, at) => one && parts[at] / one >= 0.05)) return null;
  const name = isBounded ? "parts with a declared bound" : "what caches and containers count";
  const share = Math.round(last(parts) / Math.max(1, last(rss)) * 100);
  const within = rss.map((one, at) => (one === null ? null : Math.min(one, parts[at])));
  return {
    title: "Explained memory", unit: "bytes", t, isStacked: true,
    words: `${share}% of resident memory is in ${name} now; a leak is in the rest.`,
    lines: [
      {name, values: within, colour: 3},
      {name: "the rest", values: rss.map((one, at) => one === null ? null : one - within[at]),
        colour: 7},
    ],
  };
}

// The bytes of the largest parts, one upon the other; none where they are not worth it.
function held({t, columns: {rss}, parts, others}) {
  const lines = parts.filter((one) => one.bytes).slice(0, FEW_PARTS)
    .map(({name, bytes: values}, at) => ({name, values, colour: at + 1}));
  if (!lines.length) return null;
  if (others) lines.push({name: others.name, values: others.bytes, colour: 7});
  const totals = t.map((_, at) => lines.reduce((sum, one) => sum + (one.values[at] ?? 0), 0));
  if (most(totals) < 0.01 * most(rss)) return null;
  const now = lines.reduce((sum, one) => sum + (last(one.values) ?? 0), 0);
  return {
    title: "Caches and containers, by bytes", unit: "bytes", t, lines, isStacked: true,
    words: `Together ${bytes(now)} now, ${bytes(most(totals))} at most; `
      + `the largest is ${lines[0].name}.`,
  };
}

function items({t, parts}) {
  return parts.filter((one) => one.items).map(({name, items: values, grew, bound, bounds}) => {
    const isNear = bound && bound <= 3 * Math.max(most(values), 1);
    return {
      title: `Items in ${name}`, unit: "whole", t, isSmall: true,
      words: `${count(last(values))} now, ${signed(count, grew)} since the first sample. ${bounds}`,
      lines: [{name: "items", values, colour: 2}],
      levels: isNear ? [{name: "bound", at: bound, isLimit: true}] : [],
    };
  });
}

// How fast a counter rises in so many seconds; over shorter times there is more noise than news,
// and nothing is told across a break (null). What is left open (undefined) breaks no line.
function rate(t, counter, per = 1, many = 150) {
  const apart = (t.at(-1) - t[0]) / many;
  let first = null;
  return t.map((at, place) => {
    if (counter[place] == null) {
      first = null;
      return null;
    }
    if (first === null) first = place;
    const took = at - t[first];
    if (!took || took < apart) return undefined;
    const risen = Math.max(0, counter[place] - counter[first]) / took * per;
    first = place;
    return risen;
  });
}

// What is known beside the memory, and changes.
function beside({t, columns}) {
  return [
    ["C heap in use", "bytes", 4, columns.malloc],
    ["Live Python blocks", "count", 1, columns.blocks],
    ["Children", "bytes", 5, columns.children],
    ["Page cache", "bytes", 7, columns.file],
    ["Full collections an hour", "count", 3, columns.collections, (one) => rate(t, one, HOUR, 24)],
    ["Freed by full collections", "share", 3, columns.gc_efficiency],
    ["Processor, of a core", "share", 2, columns.cpu, (one) => rate(t, one)],
    ["Requests a second", "count", 6, columns.requests, (one) => rate(t, one)],
    ["Threads", "whole", 4, columns.threads],
    ["Asyncio tasks", "whole", 5, columns.tasks],
    ["Open descriptors", "whole", 6, columns.fds],
  ].flatMap(([title, unit, colour, column, derive = (one) => one]) => {
    const values = column ? derive(column) : [], all = known(values), {text} = KINDS[unit];
    if (all.length < 2 || most(all) === least(all)) return [];
    const isLevel = unit === "bytes" || title === "Live Python blocks";
    const words = isLevel
      ? `${text(all.at(-1))} now, ${signed(text, all.at(-1) - all[0])} since the first.`
      : `${text(all.at(-1))} now, from ${text(least(all))} to ${text(most(all))}.`;
    const isSparse = all.length < values.length / 2 && !values.includes(undefined);
    const lines = [{name: title, values, colour, isSparse}];
    return [{title, unit, t, words, lines, isLevel, isSmall: true}];
  });
}

function zoomAll(low, high) {
  for (const {plot} of charts) {
    const [t] = plot.data, min = Math.max(low, t[0]), max = Math.min(high, t.at(-1));
    if (min < max) plot.setScale("x", {min, max});
  }
}

// A picture keeps its colours: another scheme, and paper, need another.
function again() {
  drawn = "";
  if (shown) show(shown);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
for (const [name, isPaper] of [["beforeprint", true], ["afterprint", false]])
  addEventListener(name, () => {
    document.documentElement.toggleAttribute("data-paper", isPaper);
    again();
  });
new ResizeObserver(() => {
  for (const chart of charts) {
    const {width, height} = chart.size();
    if (width !== chart.plot.width || height !== chart.plot.height)
      chart.plot.setSize({width, height});
  }
}).observe(document.querySelector("main"));

const within = document.getElementById("data").textContent;
if (within) show(JSON.parse(within));
