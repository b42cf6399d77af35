// What the playground shows: for each operation and tab the arrays that meet, what their elements
// are called, and one element of the result as a line of symbols, a line of numbers and a list of
// terms.

import { LETTERS, symbol } from "./dom.js";
import { divide, shown } from "./float32.js";
import { shapesOf } from "./playground-state.js";
import { count, flat, positions, resultShape, termsOf, valueOf } from "./windows.js";

const TITLES = { x: "Input x", w: "Kernel w", y: "Output y", g: "Gradient of the output, ∂L/∂y",
  dx: "Gradient by input, ∂L/∂x", dw: "Gradient by kernel, ∂L/∂w" };

/** Which operation a tab works off, and the names of its operands and of its result. */
function recipe(state) {
  const { op, tab } = state;
  const { x, y } = shapesOf(state);
  const window = { kernel: state.kernel, stride: state.stride, padding: state.padding,
    dilation: state.dilation };
  const conv = { ...window, groups: state.groups, flip: state.flip };
  const pool = { ...window, ceil_mode: state.ceil };
  const average = { window: pool, count_include_pad: state.counted };
  const sides = x.slice(0, -1);
  return {
    "conv forward": { op: "conv", attrs: conv, from: ["x", "w"], to: "y" },
    "conv input": { op: "conv_grad_input", from: ["g", "w"], to: "dx",
      attrs: { geometry: conv, sides } },
    "conv kernel": { op: "conv_grad_weight", attrs: conv, from: ["x", "g"], to: "dw" },
    "transposed forward": { op: "conv_grad_input", from: ["x", "w"], to: "y",
      attrs: { geometry: conv, sides: y.slice(0, -1) } },
    "transposed input": { op: "conv", attrs: conv, from: ["g", "w"], to: "dx" },
    "transposed kernel": { op: "conv_grad_weight", attrs: conv, from: ["g", "x"], to: "dw" },
    "max forward": { op: "max_pool", attrs: pool, from: ["x"], to: "y" },
    "max input": { op: "max_pool_grad", attrs: pool, from: ["x", "g"], to: "dx" },
    "average forward": { op: "avg_pool", attrs: average, from: ["x"], to: "y" },
    "average input": { op: "avg_pool_grad", attrs: { ...average, sides }, from: ["g"], to: "dx" },
    "global forward": { op: "global_avg_pool", attrs: {}, from: ["x"], to: "y" },
    "global input": { op: "global_avg_pool_grad", attrs: { sides }, from: ["g"], to: "dx" },
  }[`${op} ${tab}`];
}

/** The planes of an array: which of its last axes are fixed, and its rows and columns. */
function planesOf(shape, kernel) {
  const fixed = kernel ? 2 : 1;
  const sides = shape.slice(0, shape.length - fixed);
  const [rows, columns] = [1, 1, ...sides].slice(-2);
  return { rows, columns, rank: sides.length,
    planes: positions(shape.slice(shape.length - fixed)) };
}

/** One array of a view: its planes, its values and what its elements are called. */
class Panel {
  constructor(name, shape, values, padding, { op, groups }) {
    Object.assign(this, { name, shape, values, title: TITLES[name] });
    this.transposed = op === "transposed";
    this.grouped = groups > 1;
    this.kernel = name === "w" || name === "dw";
    Object.assign(this, planesOf(shape, this.kernel));
    this.editable = ["x", "w", "g"].includes(name);
    const [rowPads, columnPads] = [[0, 0], [0, 0], ...(padding ?? [])].slice(-2);
    this.padding = [rowPads, columnPads];
    // Channels and filters are written where there is more than one.
    this.written = shape.map((side, axis) => axis < this.rank || side > 1);
  }

  /** What an element is called. */
  symbol(place) {
    if (this.name === "g" && count(this.shape) <= LETTERS.length) {
      // Channel by channel, row by row.
      const channels = [this.shape[this.rank], ...this.shape.slice(0, this.rank)];
      return LETTERS[flat([place[this.rank], ...place.slice(0, this.rank)], channels)];
    }
    const index = place.filter((_, axis) => this.written[axis]);
    const name = { dx: "∂L/∂x", dw: "∂L/∂w" }[this.name] ?? this.name;
    return symbol(name, index, Math.max(...this.shape) > 10);
  }

  /** Row, column and plane of an element. */
  spot(place) {
    const [row, column] = [0, 0, ...place.slice(0, this.rank)].slice(-2);
    return { row, column, plane: place.slice(this.rank).join() };
  }

  /** The element at a row and column of a plane. */
  place(row, column, plane) {
    return [...[row, column].slice(2 - this.rank), ...plane];
  }

  /** Where an element is, in words. */
  whereabouts(place) {
    const { row, column } = this.spot(place);
    const at = ["", `position ${column}`, `row ${row}, column ${column}`][this.rank];
    return [this.planeTitle(place.slice(this.rank)), at].filter(Boolean).join(": ");
  }

  /** What a plane is called, where there are several. */
  planeTitle(plane) {
    if (this.planes.length === 1) {
      return this.title;
    }
    const name = { g: "∂L/∂y", dx: "∂L/∂x", dw: "∂L/∂w" }[this.name] ?? this.name;
    if (!this.kernel) {
      return `${name} channel ${plane[0]}`;
    }
    // A transposed convolution has the kernel of the convolution that it turns around.
    const [inner, outer] = this.transposed ? ["filter", "channel"] : ["channel", "filter"];
    const group = this.grouped ? " of its group" : "";
    return `${name} ${inner} ${plane[0]}${group}, ${outer} ${plane[1]}`;
  }
}

/** All that a state shows: the operation, its panels, and the chosen element. */
export function viewOf(state) {
  const { op, attrs, from, to } = recipe(state);
  const all = shapesOf(state);
  const shapes = { x: all.x, w: all.w, y: all.y, g: all.y, dx: all.x, dw: all.w };
  const operands = from.map((name) => shapes[name]);
  const arrays = from.map((name) => state[name]);
  const shape = resultShape(op, attrs, operands);
  const elements = positions(shape).map((place) => {
    const form = termsOf(op, attrs, operands, place);
    return { place, form, ...valueOf(form, arrays) };
  });
  const values = Float32Array.from(elements, (one) => one.value);
  // From here on plane by plane, as people read them; the values above are row-major.
  const rank = shape.length - (to === "dw" ? 2 : 1);
  const sides = shape.slice(rank).reverse();
  const plane = ({ place }) => flat(place.slice(rank).reverse(), sides);
  elements.sort((one, other) => plane(one) - plane(other));
  // The ring of padding lies around what the kernel slides over: the operation's own first array.
  const slides = ["conv", "conv_grad_weight", "max_pool", "avg_pool"].includes(op);
  const panels = from.map((name, i) => new Panel(name, shapes[name], arrays[i],
    slides && i === 0 ? state.padding : null, state));
  const result = new Panel(to, shape, values, null, state);
  const at = state.at ?? [];
  const place = shape.map((side, axis) =>
    (Number.isInteger(at[axis]) ? Math.max(0, Math.min(side - 1, at[axis])) : 0));
  const chosen = elements.find((one) => one.place.join() === place.join());
  // What a product with nothing meets: the padding of what slides, or places that no output has.
  const beyond = slides ? "padding" : "beyond the edge";
  return { op, attrs, panels, result, elements, chosen, beyond };
}

/** Which of a view's panels a term's factors lie in. */
function factors(view, term) {
  const [first, second] = view.panels;
  if (view.op === "max_pool_grad") {
    return [[second, term.left]];
  }
  return term.right ? [[first, term.left], [second, term.right]] : [[first, term.left]];
}

/** All cells that a term reads: [{panel, place}]. */
export function cellsOf(view, term) {
  return factors(view, term).map(([panel, one]) => ({ panel, place: one.place }));
}

const bracketed = (text) => (text.startsWith("-") ? `(${text})` : text);

/** The text of a factor, in symbols or in numbers. */
function factorText([panel, one], numbers) {
  if (one.index < 0) {
    return "0";
  }
  return numbers ? shown(panel.values[one.index]) : panel.symbol(one.place);
}

/**
 * The order in which the notes write a sum, channel by channel: forward by the kernel or, where
 * that is spread, by the input; backward by the gradient from behind.
 */
function notesOrder(view, form) {
  const key = (term) => {
    const parts = factors(view, term);
    const [panel, one] = parts.find(([{ name }]) => name === "g") ??
      (view.op === "conv" ? parts[1] : parts[0]);
    const leading = panel.name === "w" ? one.place.slice(0, -1) : one.place;
    return [leading[leading.length - 1], ...leading.slice(0, -1)];
  };
  const numbered = form.terms.map((term, i) => ({ term, i, by: key(term) }));
  return numbered.sort((one, other) => {
    const axis = one.by.findIndex((at, k) => at !== other.by[k]);
    return axis < 0 ? one.i - other.i : one.by[axis] - other.by[axis];
  });
}

/** The terms of an element's line, in the order of the notes: [{term, i}]. */
function kept(view, { form, wins }) {
  return notesOrder(view, form).filter(({ term, i }) =>
    (form.kind === "routed" ? wins[i] : factors(view, term).every(([, one]) => one.index >= 0)));
}

/** Whether an element's line has its terms in another order than the engine. */
export function reordered(view, element) {
  return kept(view, element).some(({ i }, at, all) => at > 0 && i < all[at - 1].i);
}

/**
 * One element as a line: [{text, term}], `term` a term's number or null, in symbols or in numbers.
 * Products with padding, and windows that another element won, are left out.
 */
export function line(view, element, numbers) {
  const { form } = element;
  const { kind } = form;
  const texts = kept(view, element).map(({ term, i }) => {
    const parts = factors(view, term).sort(([one], [other]) =>
      (other.name === "g") - (one.name === "g"));
    const words = parts.map((part) => factorText(part, numbers));
    // A sum may open with a negative number; behind an operator it stands in brackets.
    const product = words.map((word, at) => (at === 0 ? word : bracketed(word))).join("·");
    const share = term.count ?? (kind === "share" ? form.count : 0);
    return { term: i, text: share ? `${product}/${share}` : product };
  });
  const pieces = [];
  const between = kind === "largest" ? ", " : " + ";
  texts.forEach((piece, at) => {
    if (at > 0) {
      pieces.push({ text: between, term: null });
    }
    const bare = at === 0 || kind === "largest";
    pieces.push({ ...piece, text: bare ? piece.text : piece.text.replace(/^-[^·/]+/, bracketed) });
  });
  if (!pieces.length) {
    return [{ text: "0", term: null }];
  }
  const around = { largest: ["max(", ")"], average: ["(", `) / ${form.count}`],
    mean: ["(", `) / ${form.count}`] }[kind] ?? ["", ""];
  return [{ text: around[0], term: null }, ...pieces, { text: around[1], term: null }]
    .filter(({ text }) => text);
}

/** How many of an element's terms are products with padding, or windows won by another element. */
export function leftOut({ form, wins }) {
  if (form.kind === "routed") {
    return wins.filter((won) => !won).length;
  }
  return form.terms.filter((term) => term.left.index < 0 || term.right?.index < 0).length;
}

/** Products of a convolution's window with its kernel: [{label, rows, columns, values, terms}]. */
export function productsOf(view) {
  if (view.op !== "conv") {
    return [];
  }
  const [x, w] = view.panels;
  const planes = new Map();
  view.chosen.form.terms.forEach((term, i) => {
    const plane = planes.get(term.c) ?? { channel: term.c, values: [], terms: [] };
    const left = term.left.index < 0 ? 0 : x.values[term.left.index];
    plane.values.push(Math.fround(left * w.values[term.right.index]));
    plane.terms.push(i);
    planes.set(term.c, plane);
  });
  return [...planes.values()].map(({ channel, values, terms }) => ({
    label: planes.size > 1 ? `Products, channel ${channel}` : "Products",
    rows: w.rows, columns: w.columns, values, terms,
  }));
}

function named(view, part) {
  const [panel, one] = part;
  return one.index < 0 ? { text: `0 (${view.beyond})`, as: "quiet" }
    : `${panel.symbol(one.place)} = ${shown(panel.values[one.index])}`;
}

function product(a, b) {
  const exact = a * b;
  const single = Math.fround(exact);
  return `${single === exact || Number.isNaN(exact) ? "" : "≈ "}${shown(single)}`;
}

/** An element's list of terms, in the engine's order: {columns, cells(i)}. */
export function table(view, element) {
  const { form, sums, wins, winner, parts } = element;
  const { kind, terms } = form;
  const value = ([panel, one]) => (one.index < 0 ? 0 : panel.values[one.index]);
  const sum = (i) => ({ text: shown(sums[i + 1]), as: "sum" });
  const at = (term) => term.m.join(", ") || "–";
  if (kind === "chain") {
    const heads = view.panels.map((panel) => ({ g: "∂L/∂y" }[panel.name] ?? panel.name));
    // A gradient by the kernel keeps to one place of it and goes over all windows.
    const slides = view.op === "conv_grad_weight";
    const where = slides ? "window at" : "kernel at";
    return { columns: ["#", where, ...heads, "product", "sum so far"], cells: (i) => {
      const both = factors(view, terms[i]);
      const { right } = terms[i];
      return [slides ? right.place.slice(0, -1).join(", ") : at(terms[i]),
        ...both.map((part) => named(view, part)),
        product(...both.map(value)), sum(i)];
    } };
  }
  if (kind === "largest") {
    return { columns: ["#", "window at", "x", "is the largest"], cells: (i) => [at(terms[i]),
      named(view, factors(view, terms[i])[0]),
      i === winner ? { text: "★ yes", as: "won" } : { text: "no", as: "quiet" }] };
  }
  if (kind === "routed") {
    const heads = ["#", "window at", "∂L/∂y", "is its largest", "sum so far"];
    return { columns: heads, cells: (i) => [at(terms[i]), named(view, factors(view, terms[i])[0]),
      wins[i] ? { text: "★ yes: added", as: "won" } : { text: "no: nothing", as: "quiet" },
      sum(i)] };
  }
  if (kind === "mean") {
    return { columns: ["#", "at", "x", "partial sum"], cells: (i) => [at(terms[i]),
      named(view, factors(view, terms[i])[0]),
      `p${i % 8}, in all ${shown(parts.partials[i % 8])}`] };
  }
  if (kind === "average") {
    return { columns: ["#", "window at", "x", "sum so far"], cells: (i) =>
      [at(terms[i]), named(view, factors(view, terms[i])[0]), sum(i)] };
  }
  const heads = ["#", "window at", "∂L/∂y", "window covers", "share", "sum so far"];
  return { columns: heads, cells: (i) => {
    const part = factors(view, terms[i])[0];
    const covers = terms[i].count ?? form.count;
    return [at(terms[i]), named(view, part), String(covers), shown(divide(value(part), covers)),
      sums ? sum(i) : shown(element.value)];
  } };
}

/** What the list of terms ends in, in words: how the sum becomes the value. */
export function ending(element) {
  const { form, sums, parts, value } = element;
  switch (form.kind) {
    case "average":
      return `${shown(sums[sums.length - 1])} / ${form.count} = ${shown(value)}`;
    case "mean":
      return `((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)) = ${shown(parts.value)}; `
        + `${shown(parts.value)} / ${form.count} = ${shown(value)}`;
    default:
      return "";
  }
}

/** The output size along each axis: the formula of the notes with its numbers. */
export function sizeLines(state) {
  const { op, size, kernel, stride, padding, dilation, ceil } = state;
  const { y } = shapesOf(state);
  if (op === "global") {
    return { lines: [],
      formula: "One number for each channel: the mean of its height × width numbers." };
  }
  const even = padding.every(([before, after]) => before === after);
  const plain = dilation.every((one) => one === 1);
  const whole = even ? "2P" : "P₁ + P₂";
  const covers = plain ? "K" : "(D·(K − 1) + 1)";
  const [open, close] = ceil ? ["⌈", "⌉"] : ["⌊", "⌋"];
  const formula = op === "transposed"
    ? `O = (I − 1)·S − ${even ? whole : `(${whole})`} + ${covers}`
    : `O = ${open}(I + ${whole} − ${covers}) / S${close} + 1`;
  const names = size.length === 1 ? ["length"] : ["height", "width"];
  const lines = size.map((side, axis) => {
    const [before, after] = padding[axis];
    const pads = even ? `2·${before}` : `${before} + ${after}`;
    const over = plain ? kernel[axis] : `(${dilation[axis]}·(${kernel[axis]} − 1) + 1)`;
    const text = op === "transposed"
      ? `(${side} − 1)·${stride[axis]} − ${even ? pads : `(${pads})`} + ${over}`
      : `${open}(${side} + ${pads} − ${over}) / ${stride[axis]}${close} + 1`;
    const room = side + before + after - (dilation[axis] * (kernel[axis] - 1) + 1);
    const cut = ceil && op !== "transposed" && Math.ceil(room / stride[axis]) + 1 !== y[axis];
    return `${names[axis]}: ${text} = ${cut ? `${y[axis] + 1}, less one window that would start `
      + `in the padding after the input: ${y[axis]}` : y[axis]}`;
  });
  return { formula, lines };
}
