// One number and how it comes about: the window, the kernel and their products, the list of terms
// with its running sum, formulas with their numbers, and whether the page's own sum has the engine's
// bits.

import { grid, scaleOf } from "./drawing.js";
import { choice, html, refill } from "./dom.js";
import { sameBits, shown } from "./float32.js";
import { plane } from "./scene.js";
import { PADDED, TermList } from "./sums.js";
import { blockOf } from "./told.js";
import { count } from "./windows.js";

const NUMBERED = 49;

const bracketed = (place) => `[${place.join(", ")}]`;

function product(a, b) {
  const exact = a * b;
  const single = Math.fround(exact);
  return `${single === exact || Number.isNaN(exact) ? "" : "≈ "}${shown(single)}`;
}

/** A factor's number; 0 in the padding. */
function valueAt(part, operand, factor) {
  return factor.index < 0 ? 0 : part.arrays[operand][factor.index];
}

function factorCell(part, operand, factor, name) {
  if (factor.index < 0) {
    return { text: `0 (padding ${bracketed(factor.place)})`, as: "quiet" };
  }
  return `${name}${bracketed(factor.place)} = ${shown(valueAt(part, operand, factor))}`;
}

/** The rows of a part's list of terms: {columns, kept, cells(i)}. */
function table(part, channel) {
  const { form, result } = part;
  const { kind, terms, operands } = form;
  const numbers = terms.map((_, i) => i)
    .filter((i) => channel === null || kind !== "chain" || terms[i].c === channel);
  const sum = (i) => ({ text: shown(result.sums[i + 1]), as: "sum" });
  const at = (term) => term.m?.join(", ") || "–";
  const first = operands[0];
  const cells = {
    chain: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, operands[0]),
      factorCell(part, 1, terms[i].right, operands[1]),
      product(valueAt(part, 0, terms[i].left), valueAt(part, 1, terms[i].right)), sum(i)],
    largest: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, first),
      i === result.winner ? { text: "★ yes: the value", as: "won" } : { text: "no", as: "quiet" }],
    average: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, first), sum(i)],
    routed: (i) => [at(terms[i]), factorCell(part, 1, terms[i].left, "dy"),
      result.wins[i] ? { text: "★ yes: added", as: "won" } : { text: "no: nothing", as: "quiet" },
      sum(i)],
    shares: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, "dy"), String(terms[i].count),
      sum(i)],
    mean: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, first), `p${i % 8}`],
    share: (i) => [at(terms[i]), factorCell(part, 0, terms[i].left, "dy"), String(form.count)],
  }[kind];
  const columns = {
    chain: ["#", "kernel at", operands[0], operands[1], "product", "sum so far"],
    largest: ["#", "window at", first, "is the largest"],
    average: ["#", "window at", first, "sum so far"],
    routed: ["#", "window at", "gradient of the window", "is its largest", "sum so far"],
    shares: ["#", "window at", "gradient of the window", "window covers", "sum so far"],
    mean: ["#", "at", first, "partial sum"],
    share: ["#", "at", "gradient", "divided by"],
  }[kind];
  return { columns, kept: numbers, cells: (row) => cells(numbers[row]) };
}

/** How a sum becomes the value, in words. */
function ending(part) {
  const { form, result } = part;
  if (form.kind === "average") {
    const total = result.sums[result.sums.length - 1];
    return `${shown(total)} / ${form.count} = ${shown(result.value)}`;
  }
  if (form.kind === "mean") {
    const sums = [...result.parts.partials].map((value, i) => `p${i} = ${shown(value)}`).join(", ");
    return `${sums}; ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)) = ${shown(result.parts.value)}`;
  }
  return "";
}

/** The window, the kernel and their products of one channel as grids; null for other shapes. */
function grids(part, channel) {
  const { form } = part;
  const geometry = part.attrs?.geometry ?? part.attrs?.window ?? part.attrs;
  const kernel = geometry?.kernel;
  if (!kernel || kernel.length < 1 || kernel.length > 2 || part.op === "conv_grad_weight"
    || count(kernel) > 121) {
    return null;
  }
  const [rows, columns] = [1, ...kernel].slice(-2);
  const empty = () => new Float32Array(rows * columns);
  const [left, right, both] = [empty(), empty(), empty()];
  const used = [];
  const marks = [];
  form.terms.forEach((term, i) => {
    const filter = part.op === "conv_grad_input" ? term.left.place[term.left.place.length - 1] : term.c;
    if (form.kind === "chain" && filter !== channel) {
      return;
    }
    const [row, column] = [0, ...term.m].slice(-2);
    const at = row * columns + column;
    const operand = form.kind === "routed" ? 1 : 0;
    left[at] = valueAt(part, operand, term.left);
    if (term.right) {
      right[at] = valueAt(part, 1, term.right);
      both[at] = Math.fround(left[at] * right[at]);
    }
    used.push({ row, column, i });
    if (i === part.result.winner || part.result.wins?.[i]) {
      marks.push({ row, column, as: "winner" });
    }
  });
  const name = form.kind === "chain" || form.kind === "routed" || form.kind === "shares"
    ? (part.op === "conv" ? `x under the kernel, channel ${channel}` : "gradient under the window")
    : "x in the window";
  const made = [[name, left]];
  if (form.kind === "chain") {
    made.push(["kernel", right], ["products", both]);
  }
  return { rows, columns, made, used, marks };
}

/** What an operation is called; a linear layer is a convolution without positions. */
function called(part) {
  if (part.title) {
    return part.title;
  }
  return part.op === "conv" && part.attrs?.kernel?.length === 0 ? "linear"
    : part.op.replaceAll("_", " ");
}

/** Which of a part's arrays its window lies on, and whether that has a ring of padding. */
function under(part) {
  const operand = part.form.kind === "routed" ? 1 : 0;
  const forward = ["conv", "max_pool", "avg_pool"].includes(part.op);
  const geometry = part.attrs?.window ?? part.attrs;
  return { operand, padding: forward ? geometry.padding : null };
}

/** Of a gradient by a kernel: what lay under the kernel's element, and the gradients it meets. */
function sweptMaps(part, describe) {
  const { terms } = part.form;
  const rank = part.shapes[0].length - 1;
  if (rank < 1 || rank > 2) {
    return null;
  }
  const pads = [[0, 0], [0, 0], ...part.attrs.padding].slice(-2);
  const maps = ["left", "right"].map((side, operand) => {
    const channel = terms[0][side].place.at(-1);
    const { rows, columns, values } = plane(part.arrays[operand], part.shapes[operand], channel);
    const one = grid({ rows, columns, most: NUMBERED, padding: operand ? undefined : pads,
      label: `${describe(part.inputs[operand])}, channel ${channel}` });
    const spot = (term) => [0, 0, ...term[side].place.slice(0, rank)].slice(-2);
    one.show(values, scaleOf(part.arrays[operand]));
    one.outline([spot(terms[0]), spot(terms.at(-1))]);
    one.element.classList.add("slides");
    return { one, spot };
  });
  return { element: maps.map(({ one }) => one.element), point: (term) => {
    for (const { one, spot } of maps) {
      one.point(...term ? spot(term) : [null, null]);
    }
  } };
}

/** The map that a part's window lies on, one channel of it; null where a window says little. */
function slideMap(part, channel, describe) {
  if (part.op === "conv_grad_weight") {
    return sweptMaps(part, describe);
  }
  const { operand, padding } = under(part);
  const shape = part.shapes[operand];
  const rank = shape.length - 1;
  const backward = part.op === "conv_grad_input";
  if (rank < 1 || rank > 2 || part.op.startsWith("global")) {
    return null;
  }
  const met = part.form.terms.filter((term) => part.form.kind !== "chain"
    || (backward ? term.left.place.at(-1) : term.c) === channel);
  if (!met.length) {
    return null;
  }
  const pads = [[0, 0], [0, 0], ...padding ?? []].slice(-2);
  const { rows, columns, values } = plane(part.arrays[operand], shape, channel);
  const spots = met.map((term) => [0, 0, ...term.left.place.slice(0, rank)].slice(-2));
  const one = grid({ rows, columns, most: NUMBERED, padding: pads,
    label: `${describe(part.inputs[operand])}, channel ${channel}` });
  one.show(values, scaleOf(part.arrays[operand]));
  one.mark(spots.map(([row, column], i) => ({ row, column,
    as: i === part.result.winner || part.result.wins?.[i] ? "winner" : "used" })));
  const ends = (pick) => [0, 1].map((axis) => pick(...spots.map((spot) => spot[axis])));
  one.outline([ends(Math.min), ends(Math.max)]);
  one.select(...spots[0].map((at, axis) => Math.max(0, Math.min([rows, columns][axis] - 1, at))));
  one.element.classList.add("slides");
  return { element: one.element, point: (term) => {
    const spot = term && [0, 0, ...term.left.place.slice(0, rank)].slice(-2);
    one.point(...spot ?? [null, null]);
  } };
}

/** The operations that lead to one number, each with its terms. */
export class Parts {
  constructor() {
    this.element = html("div", { class: "parts" });
  }

  /** Shows parts of a scene. */
  show(scene, parts) {
    this.scene = scene;
    refill(this.element, parts.map((part) => this.#part(part)));
  }

  #part(part) {
    const body = part.kind === "terms" ? this.#terms(part)
      : part.kind === "formula" ? this.#formula(part) : this.#other(part);
    const title = [called(part), part.layer ? `layer ${part.layer}` : "",
      part.place.length ? `at ${bracketed(part.place)}` : ""].filter((text) => text).join(" · ");
    return html("section", { class: "part" }, html("h3", {}, title), part.other
      ? html("p", { class: "said" }, 
        "The ordinary sum of this number; the layer itself computes it by Winograd's algorithm.") : null,
      html("p", { class: "hint" }, part.summary), body);
  }

  #value(part, computed) {
    const line = html("p", { class: "value-line" }, "value ",
      html("strong", { class: "number", "data-value": shown(part.value) }, shown(part.value)));
    if (computed === null) {
      return line;
    }
    if (part.other) {
      line.append(html("span", { class: "bits" }, `the sum above is ${shown(computed)}: this layer `
        + "computes the same by Winograd's F(2×2, 3×3), in another order and with other roundings, "
        + "so that the last digits may differ"));
    } else if (sameBits(Math.fround(computed), part.value)) {
      line.append(html("span", { class: "bits same" }, "✓ this page's sum has the same bits"));
    } else {
      line.append(html("span", { class: "bits other", role: "alert" },
        `✗ this page's sum is ${shown(computed)}: please report this`));
    }
    return line;
  }

  #terms(part) {
    const channels = [...new Set(part.form.terms.map((term) =>
      (part.op === "conv_grad_input" ? term.left.place.at(-1) : term.c)))];
    const pictures = html("div", { class: "pictures" });
    let rows = [];
    let map = null;
    const padding = html("p", { class: "hint" });
    const list = new TermList({ from: 1, label: "terms, in the order of the arithmetic", onpoint: (row) =>
      map?.point(row === null ? null : part.form.terms[rows[row]]) });
    const fill = (channel, all) => {
      const { columns, kept, cells } = table(part, all || part.op === "conv_grad_input" ? null : channel);
      rows = kept;
      const padded = kept.map((i) => part.form.terms[i].left?.index < 0);
      const first = padded.indexOf(false);
      list.show(columns, kept.length, cells, { skip: Math.max(0, first), why: PADDED });
      const lying = padded.filter((one) => one).length;
      padding.textContent = `${lying} of ${kept.length} terms: ${PADDED}.`;
      padding.hidden = !lying;
      const found = grids(part, channel);
      map = slideMap(part, channel, (id) => this.scene.describe(id));
      refill(pictures, map?.element ?? null, found ? this.#grids(found) : []);
    };
    const several = part.form.kind === "chain" && channels.length > 1
      && part.op !== "conv_grad_weight";
    const word = part.op === "conv_grad_input" ? "filter" : "channel";
    const chooser = several ? html("label", { class: "channel" }, `${word} `,
      choice(word, [["all", `all ${channels.length}`], ...channels.map((c) => [c, String(c)])],
        "all", (value) => fill(value === "all" ? channels[0] : Number(value), value === "all"))) : null;
    fill(channels[0], true);
    const reads = part.inputs.map((id, i) => html("li", {}, `${part.form.operands[i] ?? "x"}: `
      + `${this.scene.describe(id)}, ${part.shapes[i].join(" × ")}`));
    return [html("ul", { class: "reads" }, reads), chooser, pictures, padding, list.element,
      html("p", { class: "said" }, ending(part)), this.#value(part, part.result.value)];
  }

  #grids({ rows, columns, made, marks }) {
    const signs = made.length > 1 ? ["·", "="] : [];
    return made.flatMap(([label, values], i) => {
      const one = grid({ rows, columns, label });
      one.show(values, scaleOf(values));
      one.mark(i === 0 ? marks : []);
      return [one.element, signs[i] ? html("span", { class: "sign" }, signs[i]) : null];
    });
  }

  #formula(part) {
    const rows = part.read.map((one) => html("tr", {}, html("th", { scope: "row" },
      `${one.name}${one.place.length ? bracketed(one.place) : ""}`),
    html("td", { class: "sum" }, shown(one.value)),
    html("td", { class: "quiet" }, this.scene.describe(one.id))));
    return [html("table", { class: "terms formula" }, html("tbody", {}, rows)),
      this.#value(part, null)];
  }

  #other(part) {
    const holder = html("div", { class: "asked" });
    const { source } = this.scene;
    if (!source.can("terms")) {
      refill(holder, html("p", { class: "hint" }, "isoconv view, or isoconv explain, lists its terms"));
      return [holder, this.#value(part, null)];
    }
    source.ask("terms", { node: part.id, place: part.place }).then((told) => {
      refill(holder, told.blocks.map(blockOf));
    }, (error) => refill(holder, html("p", { class: "warning" }, error.message)));
    return [holder, this.#value(part, null)];
  }
}
