// The kernels of one layer: every filter as a small picture, one of them large with its numbers, and
// the gradient by it.

import { html, refill } from "./dom.js";
import { grid, scaleOf } from "./drawing.js";
import { Tiles } from "./tiles.js";
import { count } from "./windows.js";

/** A layer's kernels; `onchoose(place)` is told which of its numbers, [kernel…, channel, filter]. */
export class Kernels {
  constructor({ onchoose }) {
    this.onchoose = onchoose;
    this.heading = html("h2");
    this.facts = html("p", { class: "hint" });
    this.channel = html("div", { class: "choices" });
    this.tiles = new Tiles({ label: "filters",
      onchoose: (filter) => this.onchoose([...this.place.slice(0, -1), filter]) });
    this.large = html("div", { class: "large pictures" });
    this.element = html("section", { class: "sheet maps", "aria-label": "kernels" }, this.heading,
      this.facts, this.channel, html("div", { class: "maps-body" }, this.large, this.tiles.element));
  }

  /**
   * Shows kernels (kernel…, C / groups, O).
   *
   * @param name of the layer.
   * @param values, gradient the arrays; null for a gradient that is not there.
   * @param place the chosen number.
   */
  show({ name, values, gradient, shape, place }) {
    Object.assign(this, { values, gradient, shape, place });
    const [inner, filters] = shape.slice(-2);
    const channel = place[place.length - 2];
    this.heading.textContent = `Kernels of ${name}`;
    this.facts.textContent = `${filters} filters of ${shape.slice(0, -2).join(" × ") || "1"} × ${inner}`
      + `: kernel size × input channels${gradient ? "" : "; no gradient flows back to them"}`;
    refill(this.channel, inner > 1 ? html("label", {}, html("span", {}, "input channel"),
      html("input", { type: "number", min: 0, max: inner - 1, value: channel, onchange: (event) => {
        const wanted = Math.max(0, Math.min(inner - 1, Math.round(Number(event.target.value)) || 0));
        this.onchoose([...this.place.slice(0, -2), wanted, this.place[this.place.length - 1]]);
      } }), html("span", { class: "hint" }, `of ${inner}`)) : null);
    this.tiles.element.hidden = shape.length === 2 || filters === 1;
    if (shape.length > 2) {
      this.tiles.show({ word: "filter", count: filters, scale: scaleOf(values), chosen: place.at(-1),
        plane: (filter) => this.#plane(values, channel, filter) });
    }
    this.#grids();
  }

  /** The last two kernel axes of one filter and channel, at the chosen place of those before. */
  #plane(values, channel, filter) {
    const kernel = this.shape.slice(0, -2);
    const [inner, filters] = this.shape.slice(-2);
    const [rows, columns] = [1, 1, ...kernel].slice(-2);
    const before = kernel.slice(0, -2).reduce((at, side, axis) => at * side + this.place[axis], 0);
    return { rows, columns, values: Float32Array.from({ length: rows * columns }, (_, i) =>
      values[((before * rows * columns + i) * inner + channel) * filters + filter]) };
  }

  #grids() {
    const { place, shape } = this;
    const rank = shape.length - 2;
    const [channel, filter] = place.slice(-2);
    const [row, column] = [0, 0, ...place.slice(0, rank)].slice(-2);
    if (rank === 0 || count(shape.slice(0, rank)) === 1) {
      refill(this.large, html("p", { class: "hint" },
        "One number for each input channel and filter: choose them above and among the maps."));
      return;
    }
    const made = [["kernel", this.values], ["gradient", this.gradient]]
      .filter(([, all]) => all).map(([label, all]) => {
        const { rows, columns, values } = this.#plane(all, channel, filter);
        const one = grid({ rows, columns, label: `${label} of filter ${filter}`,
          onselect: (r, c) => this.onchoose([...place.slice(0, Math.max(0, rank - 2)),
            ...[r, c].slice(2 - Math.min(2, rank)), channel, filter]) });
        one.show(values, scaleOf(values));
        one.select(row, column);
        one.mark([{ row, column, as: "selected" }]);
        return one.element;
      });
    const held = this.large.contains(document.activeElement);
    refill(this.large, made);
    if (held) {
      this.large.querySelector("[tabindex='0']")?.focus();
    }
  }
}
