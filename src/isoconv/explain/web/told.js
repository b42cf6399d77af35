// What the engine tells in words and tables: the blocks of an operation, and whole explanations.

import { choice, html } from "./dom.js";
import { PADDED, TermList } from "./sums.js";

/** A block of the engine's: its table of terms and its lines. */
export function blockOf(block) {
  const value = html("p", { class: "said" }, `${block.name || "value"} = ${block.value.text}`);
  if (!block.rows.length) {
    const name = block.name ? `${block.name}: ` : "";
    return html("div", {}, html("p", {}, name + block.text), block.lines.map((text) =>
      html("p", { class: "said" }, text)));
  }
  const list = new TermList({ from: 1, label: [block.name, block.text].filter((text) => text).join(": ") });
  const padded = block.rows.map((row) => row.mark === "padding");
  const lying = padded.filter((one) => one).length;
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
  }, { skip: Math.max(0, padded.indexOf(false)), why: PADDED });
  return html("div", {}, lying ? html("p", { class: "hint" },
    `${lying} of ${block.rows.length} terms: ${PADDED}.`) : null, list.element,
  block.lines.map((text) => html("p", { class: "said" }, text)), value);
}

/** A part of an explanation. */
function partOf(part) {
  const last = part.blocks.find((block) => block.name === "new weight") ?? part.blocks.at(-1);
  return html("section", { class: "part" }, html("h3", {}, part.title),
    html("p", { class: "hint" }, part.formula), part.note ? html("p", { class: "said" }, part.note) : null,
    part.reads.length ? html("ul", { class: "reads" }, part.reads.map((text) => html("li", {}, text))) : null,
    part.blocks.map(blockOf), html("p", { class: "value-line" }, `${last?.name || "value"} `,
      html("strong", { class: "number", "data-value": part.value.text }, part.value.text)));
}

/** A whole explanation: its notes, its parts, and what follows. */
export function blocksOf(told) {
  return [...told.notes.map((text) => html("p", { class: "hint" }, text)),
    html("div", { class: "parts" }, told.parts.map(partOf)),
    ...told.follows.length ? [html("h2", { class: "between" }, "What becomes of it"),
      html("div", { class: "parts" }, told.follows.map(partOf))] : []];
}

/**
 * What the tab of an optimizer's step shows: the explanation, and where it has no step, why; `ways`
 * are {label(number), loss()}, what a person may choose so that there is one, or null.
 */
export async function stepOf(scene, layer, place, ways) {
  const { of, image, logits } = scene.told;
  const { source } = scene;
  if (!source.can("explain")) {
    return [html("p", {}, "An optimizer's step needs the network itself: isoconv view, or a notebook, "
      + "shows it.")];
  }
  if (image.label === null) {
    const names = Array.from({ length: scene.shape(logits).at(-1) }, (_, i) =>
      [String(i), scene.className(i)]);
    return [html("p", {}, "A step follows the gradient of the loss, and the loss needs to know what is "
      + "right: choose the picture's class."), ways && source.can("label")
      ? html("label", { class: "channel" }, "its class ", choice("class of the picture",
        [["", "not known"], ...names], "", (value) => value !== "" && ways.label(Number(value)))) : null];
  }
  if (of !== "loss") {
    return [html("p", {}, "A step follows the gradient of the loss, but the gradients that are shown are "
      + `of ${scene.goal}.`), ways && source.can("of")
      ? html("button", { type: "button", onclick: () => ways.loss() }, "Show gradients of the loss") : null];
  }
  const told = await source.ask("explain", { layer: layer.name, place, gradient: "weight" });
  const why = told.follows.length || told.notes.length ? null : html("p", {},
    "No optimizer belongs to these weights (only a run has one), so this ends with the gradient.");
  return [why, ...blocksOf(told)];
}
