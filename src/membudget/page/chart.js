// A chart: a drawing of uPlot's with its words, levels and keys; and figures and moments as text.
"use strict";

const ROOM = 1.06; // How much higher a picture is than its highest value.
const UNITS = [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 1024], ["B", 1]];
const MINUTE = 60, HOUR = 3600, DAY = 86400;

let calendar = null; // Of what is shown: t, is_dated, offset.

// An element. Children that are strings become text.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const known = (values) => values.filter((one) => one != null);
const most = (values) => known(values).reduce((a, b) => Math.max(a, b), -Infinity);
const least = (values) => known(values).reduce((a, b) => Math.min(a, b), Infinity);
const last = (values) => known(values).at(-1);

const unitOf = (size) => UNITS.find(([, one]) => Math.abs(size) >= one) ?? UNITS.at(-1);

function bytes(size) {
  const [unit, scale] = unitOf(size);
  const number = size / scale, large = Math.abs(number);
  return `${number.toFixed(unit === "B" || large >= 100 ? 0 : large >= 10 ? 1 : 2)} ${unit}`;
}

const signed = (text, value) => `${value < 0 ? "-" : "+"}${text(Math.abs(value))}`;
const count = (value) => value.toLocaleString("en", {maximumFractionDigits: value < 100 ? 2 : 0});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 2});

const STEPS = Array.from({length: 18}, (_, at) => [1, 2, 5].map((one) => one * 10 ** (at - 2)))
  .flat();

// Of each unit: a value, an axis' labels, and the steps between them where not any will do.
const KINDS = {
  bytes: {
    text: bytes,
    labels(values) {
      const [unit, scale] = unitOf(Math.max(...values));
      return values.map((one) => (one ? `${+(one / scale).toFixed(2)} ${unit}` : "0"));
    },
    steps: (_plot, _at, _low, high) => STEPS.map((one) => one * unitOf(high)[1]),
  },
  share: {
    text: (value) => `${(value * 100).toFixed(1)} %`,
    labels: (values) => values.map((one) => `${+(one * 100).toFixed(2)} %`),
  },
  count: {text: count, labels: (values) => values.map((one) => short.format(one))},
  whole: {
    text: count,
    labels: (values) => values.map((one) => short.format(one)),
    steps: STEPS.filter((one) => one >= 1),
  },
};

// A date whose own hour and day are those of the place where the report was made.
function local(at) {
  const date = new Date((at + calendar.offset) * 1000);
  return new Date(+date + date.getTimezoneOffset() * 60000);
}

const two = (number) => String(number).padStart(2, "0");

function moment(at, step = MINUTE) {
  if (!calendar.is_dated) {
    const [unit, scale] = step < MINUTE ? ["s", 1] : step < HOUR ? ["min", MINUTE] : ["h", HOUR];
    return `${+(at / scale).toFixed(2)} ${unit}`;
  }
  const date = local(at), clock = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return clock.slice(0, step < MINUTE ? 3 : 2).map(two).join(":");
}

function dated(at, step) {
  if (!calendar.is_dated) return moment(at, step);
  const date = local(at);
  const day = `${date.getDate()} ${date.toLocaleString("en", {month: "short"})}`;
  const isDay = step >= DAY || !(date.getHours() || date.getMinutes() || date.getSeconds());
  return isDay ? day : moment(at, step);
}

function read(at) {
  if (at == null) return "--";
  const {is_dated: isDated, t} = calendar;
  const isShort = t.at(-1) - t[0] < 2 * HOUR;
  const time = moment(at, isShort ? 1 : isDated ? MINUTE : HOUR);
  return isDated ? `${local(at).toLocaleString("en", {weekday: "short"})} ${time}` : time;
}

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// From zero where that costs no more than half of the picture, else a little around.
function range(low, high, isFromZero) {
  if (low === null || isFromZero || low <= high / 2 || high <= 0)
    return [0, Math.max((high ?? 0) * ROOM, 1e-3)];
  const room = Math.max((high - low) * 0.12, high * 0.005);
  return [low - room, high + room];
}

class Chart {
  constructor(spec, place) {
    this.spec = spec;
    this.isWhole = true; // Whether all of the time is in the picture.
    this.words = make("p");
    this.frame = make("div", {class: "plot", role: "img", tabindex: 0});
    this.figure = make("figure", {class: spec.isSmall ? "chart small" : "chart"},
      make("figcaption", {}, make("h3", {}, spec.title), this.words), this.frame);
    place.append(this.figure);
    this.tell();
    this.plot = new uPlot(this.options(), this.data(), this.frame);
    this.frame.addEventListener("keydown", (event) => this.press(event));
  }

  update(spec) {
    this.spec = spec;
    this.tell();
    const {isWhole} = this;
    this.plot.setData(this.data(), isWhole);
    if (!isWhole) this.plot.redraw();
  }

  tell() {
    const {title, words, lines, unit, isStacked} = this.spec;
    const values = lines.flatMap((one) => known(one.values));
    const isCut = !isStacked && this.isLevel && range(least(values), most(values))[0] > 0;
    this.words.textContent = isCut ? `${words} The axis does not begin at zero.` : words;
    this.frame.setAttribute("aria-label", `${title}. ${this.words.textContent}`);
    this.unit = KINDS[unit];
  }

  get isLevel() {
    return this.spec.isLevel ?? this.spec.unit === "bytes";
  }

  // Stacked lines lie upon each other, the first lowest; the legend tells each by itself.
  data() {
    const {t, lines, isStacked} = this.spec;
    if (!isStacked) return [t, ...lines.map((one) => one.values)];
    const sums = [];
    for (const {values} of lines) {
      const below = sums.at(-1);
      sums.push(values.map((one, at) => {
        const isKnown = lines.some((line) => line.values[at] != null);
        return isKnown ? (one ?? 0) + (below ? below[at] : 0) : null;
      }));
    }
    return [t, ...sums];
  }

  size() {
    const height = this.spec.isSmall ? 150 : innerWidth < 640 ? 210 : 280;
    return {width: Math.max(200, this.frame.clientWidth), height};
  }

  options() {
    const {lines, isStacked, unit} = this.spec, {labels, steps} = this.unit;
    const grid = {stroke: () => colour("grid"), width: 1}, font = "12px system-ui, sans-serif";
    const axis = {stroke: () => colour("soft"), grid, ticks: {...grid, size: 4}, font};
    const isDated = calendar.is_dated;
    return {
      ...this.size(),
      tzDate: local,
      cursor: {
        y: false,
        sync: {key: "time", scales: ["x", null]},
        points: {size: 6, fill: (plot, at) => colour(`c${this.spec.lines[at - 1].colour}`)},
      },
      legend: {
        mount: (_, element) => this.figure.append(element),
        markers: {
          width: 2,
          dash: (_, at) => (lines[at - 1].dash ? "dashed" : "solid"),
          fill: (_, at) => (isStacked ? colour(`c${lines[at - 1].colour}`) : "transparent"),
        },
      },
      scales: {
        x: {time: isDated, range: (plot, low, high) => {
          const {t} = this.spec;
          this.isWhole = low <= t[0] && high >= t.at(-1);
          return [low, high];
        }},
        y: {range: (_, low, high) => {
          const {levels = []} = this.spec;
          const top = this.isWhole ? most([high, ...levels.map(({at}) => at)]) : high;
          return range(low, top, isStacked || !this.isLevel);
        }},
      },
      axes: [
        {...axis, size: 32, space: 60, values: (_, splits, _at, _space, step) =>
          splits.map((at) => dated(at, step)), ...(isDated ? {} : {incrs: [
            ...[1, 2, 5, 10, 30], ...[1, 2, 5, 10, 15, 30].map((one) => one * MINUTE),
            ...[1, 2, 3, 6, 12, 24, 48, 168, 720, 8760].map((one) => one * HOUR)]})},
        {...axis, size: 70, space: 36, values: (_, splits) => labels(splits),
          ...(steps ? {incrs: steps} : {})},
      ],
      series: [
        {label: "Time", value: (_, at) => read(at)},
        ...lines.map(({name, colour: number, dash, isSparse}, at) => ({
          label: isStacked ? `${at + 1} ${name}` : name,
          stroke: () => colour(isStacked ? "ground" : `c${number}`),
          fill: isStacked ? () => `${colour(`c${number}`)}d9` : undefined,
          width: isStacked ? 1 : 2,
          dash: dash ? [7, 4] : undefined,
          paths: isSparse ? () => null : undefined,
          points: {show: !!isSparse, size: 5, fill: () => colour(`c${number}`)},
          value: (_, _sum, _at, place) => {
            const value = place === null ? null : this.spec.lines[at].values[place];
            return value == null ? "--" : KINDS[unit].text(value);
          },
        })),
      ],
      bands: isStacked ? lines.slice(1).map((_, at) => ({series: [at + 2, at + 1]})) : undefined,
      hooks: {draw: [() => this.mark()]},
    };
  }

  // Limits and other levels, restarts, and the numbers of areas, with their names.
  mark() {
    const {levels = [], moments = [], lines, isStacked} = this.spec;
    const {ctx, bbox: {left, top, width, height}} = this.plot, px = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.font = `${12 * px}px system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const line = (stroke, wide, dash, ...[x, y, toX, toY]) => {
      ctx.strokeStyle = colour(stroke);
      ctx.lineWidth = wide * px;
      ctx.setLineDash(dash.map((one) => one * px));
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(toX, toY);
      ctx.stroke();
    };
    const label = (name, x, y, ink) => {
      const words = name.length > 24 ? `${name.slice(0, 23)}\u2026` : name;
      const wide = ctx.measureText(words).width + 8 * px;
      const at = Math.min(Math.max(x, left), left + width - wide);
      ctx.fillStyle = colour("ground");
      ctx.fillRect(at, y - 8 * px, wide, 16 * px);
      ctx.fillStyle = colour(ink);
      ctx.fillText(words, at + 4 * px, y);
    };
    const taken = []; // One without room is in the words alone.
    for (const {name, at, isLimit} of levels.toSorted((a, b) => !!b.isLimit - !!a.isLimit)) {
      const y = this.plot.valToPos(at, "y", true);
      if (y < top || y > top + height) continue;
      line(isLimit ? "bad" : "warn", isLimit ? 2 : 1, isLimit ? [] : [2, 3], left, y,
        left + width, y);
      const middle = y + (y - top < 18 * px ? 10 : -10) * px;
      if (taken.some((one) => Math.abs(one - middle) < 16 * px)) continue;
      taken.push(middle);
      label(name, left + 4 * px, middle, isLimit ? "bad" : "warn");
    }
    let edge = -Infinity;
    for (const {name, at} of moments.toSorted((a, b) => a.at - b.at)) {
      const x = this.plot.valToPos(at, "x", true);
      if (x < left || x > left + width) continue;
      line("soft", 1, [4, 3], x, top, x, top + height);
      if (x - edge < 60 * px) continue;
      edge = x;
      label(name, x + 3 * px, top + height - 10 * px, "soft");
    }
    if (isStacked) lines.forEach((_, number) => {
      const sums = this.plot.data, {max} = this.plot.scales.x;
      const place = sums[0].findLastIndex((at, index) => at <= max && sums[number + 1][index] !== null);
      if (place < 0) return;
      const [low, high] = [number ? sums[number][place] : 0, sums[number + 1][place]]
        .map((one) => this.plot.valToPos(one, "y", true));
      if (low - high > 18 * px) label(String(number + 1), this.plot.valToPos(sums[0][place], "x", true) - 22 * px,
        (low + high) / 2, "ink");
    });
    ctx.restore();
  }

  press(event) {
    const {plot} = this, [t] = plot.data, {min, max} = plot.scales.x;
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key] * (event.shiftKey ? 10 : 1);
    const zoom = {"+": 0.5, "=": 0.5, "-": 2}[event.key];
    if (step) {
      const inside = t.findLastIndex((at) => at <= max);
      const place = plot.cursor.idx === null || plot.cursor.idx === undefined ? inside
        : Math.min(Math.max(plot.cursor.idx + step, t.findIndex((at) => at >= min)), inside);
      this.figure.querySelector(".u-legend").setAttribute("aria-live", "polite");
      plot.setCursor({left: plot.valToPos(t[place], "x"), top: 1});
    } else if (zoom) {
      const {idx} = plot.cursor, middle = t[idx] ?? (min + max) / 2, half = (max - min) * zoom / 2;
      zoomAll(middle - half, middle + half);
    } else if (event.key === "Escape") zoomAll(-Infinity, Infinity);
    else return;
    event.preventDefault();
  }
}
