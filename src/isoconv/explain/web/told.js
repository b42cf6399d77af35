// What the engine tells in words and tables: the blocks of an operation, and whole explanations.

import { html } from "./dom.js";
import { TermList } from "./sums.js";

/** A block of the engine's: its table of terms and its lines. */
export function blockOf(block) {
  const value = html("p", { class: "said" }, `${block.name || "value"} = ${block.value.text}`);
  if (!block.rows.length) {
    return html("div", {}, html("p", {}, block.text), block.lines.map((text) =>
      html("p", { class: "said" }, text)));
  }
  const list = new TermList({ label: [block.name, block.text].filter((text) => text).join(": ") });
  const wide = Math.max(0, ...block.rows.map((row) => row.names.length));
  const has = (name) => block.rows.some((row) => row[name]);
  const each = (one, several) => Array.from({ length: wide }, (_, i) =>
    (wide > 1 ? `${several} ${i + 1}` : one));
  const columns = ["#", ...each("term", "factor"), ...each("value", "value"),
    ...has("product") ? ["product"] : [], ...has("total") ? ["sum so far"] : [],
    ...has("mark") ? ["note"] : []];
  list.show(columns, block.rows.length, (i) => {
    const { names, values, product, total, mark } = block.rows[i];
    const filled = (all) => Array.from({ length: wide }, (_, at) => all[at] ?? "");
    return [...filled(names), ...filled(values.map((one) => one.text)),
      ...has("product") ? [product?.text ?? ""] : [],
      ...has("total") ? [{ text: total?.text ?? "", as: "sum" }] : [], ...has("mark") ? [mark] : []];
  });
  return html("div", {}, list.element, block.lines.map((text) => html("p", { class: "said" }, text)), value);
}

/** A part of an explanation. */
function partOf(part) {
  return html("section", { class: "part" }, html("h3", {}, part.title),
    html("p", { class: "hint" }, part.formula), part.note ? html("p", { class: "said" }, part.note) : null,
    part.reads.length ? html("ul", { class: "reads" }, part.reads.map((text) => html("li", {}, text))) : null,
    part.blocks.map(blockOf), html("p", { class: "value-line" }, "value ",
      html("strong", { class: "number", "data-value": part.value.text }, part.value.text)));
}

/** A whole explanation: its notes, its parts, and what follows. */
export function blocksOf(told) {
  return [...told.notes.map((text) => html("p", { class: "hint" }, text)),
    html("div", { class: "parts" }, told.parts.map(partOf)),
    ...told.follows.length ? [html("h2", { class: "between" }, "What becomes of it"),
      html("div", { class: "parts" }, told.follows.map(partOf))] : []];
}
