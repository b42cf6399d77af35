// A sum as a list of its terms with the running sum, in the order of the arithmetic. A long list
// shows its first and last terms, and the rest when it is asked for.

import { html, refill } from "./dom.js";

const FIRST = 24;
const LAST = 6;
const MORE = 100;
const FOLDED = 4;

/** What is said of terms of which one factor lies beside the map. */
export const PADDED = "products with padding, which is 0";

/**
 * A list of terms.
 *
 * Options: `label`, `from` (the number of the first term, 0 unless given), `onpoint(i)` (a row is
 * pointed at; null for none), `onchoose(i)`.
 */
export class TermList {
  constructor(options) {
    this.options = options;
    this.head = html("tr");
    this.body = html("tbody");
    this.table = html("table", { class: "terms" },
      html("caption", {}, options.label), html("thead", {}, this.head), this.body);
    this.element = html("div", { class: "term-list", tabindex: 0, role: "region",
      "aria-label": options.label }, this.table);
    this.rows = new Map();
  }

  /**
   * Shows terms.
   *
   * @param columns headings; the first column is the term's number.
   * @param count how many terms there are.
   * @param cells (i) → the texts of one row, without its number; {text, as} gives a cell a class.
   * @param skip how many terms at the beginning say nothing: more than a few are folded away.
   * @param why what they are, in words.
   */
  show(columns, count, cells, { skip = 0, why = "" } = {}) {
    refill(this.head, columns.map((name) => html("th", { scope: "col" }, name)));
    this.columns = columns.length;
    this.count = count;
    this.cells = cells;
    this.skip = skip > FOLDED && skip < count ? skip : 0;
    this.why = why;
    this.shownFirst = count - this.skip <= FIRST + LAST + 2 ? count : this.skip + FIRST;
    this.#fill();
  }

  #fill() {
    this.rows.clear();
    const lines = [];
    const rest = this.count - this.shownFirst;
    const hidden = rest > LAST ? rest - LAST : 0;
    if (this.skip) {
      lines.push(this.#fold());
    }
    for (let i = this.skip; i < this.count; i += 1) {
      if (hidden && i === this.shownFirst) {
        lines.push(this.#gap(hidden));
        i += hidden;
      }
      lines.push(this.#row(i));
    }
    refill(this.body, lines);
  }

  #fold() {
    const all = html("button", { type: "button", onclick: () => {
      this.skip = 0;
      this.#fill();
    } }, "show them");
    return html("tr", { class: "gap" }, html("td", { colspan: this.columns },
      `the first ${this.skip} terms are ${this.why} `, all));
  }

  #gap(hidden) {
    const next = Math.min(MORE, hidden);
    const more = html("button", { type: "button", onclick: () => {
      this.shownFirst += next;
      this.#fill();
      this.rows.get(this.shownFirst - next)?.scrollIntoView({ block: "nearest" });
    } }, `show ${next} more`);
    return html("tr", { class: "gap" },
      html("td", { colspan: this.columns }, `${hidden} terms are not shown `, more));
  }

  #row(i) {
    const { onpoint, onchoose } = this.options;
    const row = html("tr", {
      onmouseenter: () => onpoint?.(i), onmouseleave: () => onpoint?.(null),
      onclick: () => onchoose?.(i),
    }, html("th", { scope: "row" }, String(i + (this.options.from ?? 0))), this.cells(i).map((cell) =>
      html("td", { class: cell.as }, cell.text ?? cell)));
    this.rows.set(i, row);
    return row;
  }

  /** Shows that this row is what is pointed at elsewhere; null for none. */
  point(i) {
    this.pointed?.classList.remove("pointed");
    this.pointed = i === null ? null : this.rows.get(i);
    this.pointed?.classList.add("pointed");
  }
}
