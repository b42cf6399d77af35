// The maps of one layer: every channel as a small picture, one of them large, and a chosen cell; of a
// layer without positions, a bar for each number.

import { grid, scaleOf } from "./drawing.js";
import { html, refill } from "./dom.js";
import { shown } from "./float32.js";
import { plane } from "./scene.js";
import { Tiles } from "./tiles.js";

const BARS = 120;
const NUMBERED = 81;

/** A layer's maps; `onchoose(place)` is told which cell. */
export class Maps {
  constructor({ onchoose }) {
    this.onchoose = onchoose;
    this.heading = html("h2");
    this.facts = html("p", { class: "hint" });
    this.tiles = new Tiles({ label: "channels",
      onchoose: (channel) => this.onchoose([...this.place.slice(0, -1), channel]) });
    this.large = html("div", { class: "large" });
    this.body = html("div", { class: "maps-body" }, this.large, this.tiles.element);
    this.element = html("section", { class: "sheet maps", "aria-label": "maps" }, this.heading,
      this.facts, this.body, html("p", { class: "hint" },
        "Click a cell, or move with the arrow keys: its number is taken apart below."));
  }

  /**
   * Shows an array.
   *
   * @param heading, facts what stands above.
   * @param values, shape the array, channels last.
   * @param place the chosen cell.
   * @param name of a number at an index, for an array of one axis.
   */
  show({ heading, facts, values, shape, place, name = String }) {
    Object.assign(this, { values, shape, place, name });
    this.scale = scaleOf(values);
    this.heading.textContent = heading;
    this.facts.textContent = facts;
    this.shown = "";
    const flat = shape.length === 1;
    this.tiles.element.hidden = flat || shape[shape.length - 1] === 1;
    if (!flat) {
      this.tiles.show({ word: "channel", count: shape[shape.length - 1], scale: this.scale,
        plane: (channel) => plane(values, shape, channel), chosen: place[place.length - 1] });
    }
    this.choose(place);
  }

  /** Shows another cell as the chosen one. */
  choose(place) {
    this.place = place;
    const channel = place[place.length - 1];
    if (this.shape.length === 1) {
      this.#bars(channel);
      return;
    }
    const [row, column] = [0, 0, ...place.slice(0, -1)].slice(-2);
    if (this.shown !== String(channel)) {
      this.shown = String(channel);
      const { rows, columns, values } = plane(this.values, this.shape, channel);
      this.grid = grid({ rows, columns, most: NUMBERED, label: `channel ${channel}`,
        onselect: (r, c) => this.onchoose([...[r, c].slice(2 - (this.shape.length - 1)), channel]) });
      refill(this.large, this.grid.element);
      this.grid.show(values, this.scale);
      this.tiles.press(channel);
    }
    this.grid.select(row, column);
    this.grid.mark([{ row, column, as: "selected" }]);
  }

  #bars(chosen) {
    const [count] = this.shape;
    const first = Math.max(0, Math.min(count - BARS, chosen - BARS / 2));
    const last = Math.min(count, first + BARS);
    const held = this.large.contains(document.activeElement);
    const rows = [];
    for (let i = first; i < last; i += 1) {
      const part = this.scale > 0 ? Math.abs(this.values[i]) / this.scale : 0;
      const bar = html("span", { class: this.values[i] < 0 ? "bar below" : "bar" });
      bar.style.width = `${Math.round(part * 100)}px`;
      rows.push(html("button", { type: "button", class: "line", "aria-pressed": String(i === chosen),
        onclick: () => this.onchoose([i]) }, html("span", { class: "at" }, this.name(i)), bar,
      html("span", { class: "value" }, shown(this.values[i]))));
    }
    refill(this.large, html("div", { class: "bars" }, rows),
      count > BARS ? html("p", { class: "hint" }, `numbers ${first} … ${last - 1} of ${count}`) : null);
    if (held) {
      rows[chosen - first]?.focus();
    }
  }
}
