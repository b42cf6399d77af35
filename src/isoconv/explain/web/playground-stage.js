// The playground's picture: the arrays that meet and their result as grids, with the window, the
// cells that take part in the chosen number, and arrows to it.

import { grid, scaleOf } from "./drawing.js";
import { html, refill } from "./dom.js";
import { Arrows } from "./motion.js";
import { cellsOf } from "./playground-views.js";
import { flat, winner } from "./windows.js";

const MOST_ARROWS = 9;
const SIGNS = { conv: "∗", conv_grad_input: "∗", conv_grad_weight: "∗" };

/** Whether a grid stands to the left of another one, at about its height. */
function beside(left, right) {
  const [one, other] = [left, right].map(({ element }) => element.getBoundingClientRect());
  return one.right <= other.left && one.top < other.bottom && other.top < one.bottom;
}

/**
 * The picture of a view.
 *
 * Options: `onchoose(place)` (a number of the result), `onpoint(i)` (a term; null for none),
 * `onedit(name, place, value)`.
 */
export class Stage {
  constructor(options) {
    this.options = options;
    this.grids = new Map();
    this.pointed = null;
    this.element = html("div", { class: "stage" });
    this.arrows = new Arrows(this.element);
  }

  /** Shows a view; its grids are built anew only when `signature` is another one. */
  show(view, signature) {
    this.view = view;
    if (signature !== this.signature) {
      this.signature = signature;
      this.#build();
    }
    for (const panel of [...view.panels, view.result]) {
      const scale = scaleOf(panel.values);
      for (const plane of panel.planes) {
        const values = Float32Array.from({ length: panel.rows * panel.columns }, (_, i) => {
          const row = Math.floor(i / panel.columns);
          return panel.values[flat(panel.place(row, i % panel.columns, plane), panel.shape)];
        });
        this.grids.get(`${panel.name}:${plane.join()}`).show(values, scale);
      }
    }
  }

  #build() {
    const { view } = this;
    this.grids.clear();
    const sign = (text) => html("span", { class: text.length > 1 ? "sign word" : "sign",
      "aria-hidden": "true" }, text);
    const times = SIGNS[view.op];
    refill(this.element,
      view.panels.map((panel, i) => html("div", { class: "operand" },
        i ? sign(times ?? "and") : null,
        this.#group(panel))),
      html("div", { class: "operand" }, sign(times ? "=" : "→"), this.#group(view.result)),
      this.arrows.layers);
  }

  #group(panel) {
    const { onchoose, onedit } = this.options;
    const isResult = panel === this.view.result;
    const figures = panel.planes.map((plane) => {
      const placed = (act) => (row, column, ...more) =>
        act(panel.place(row, column, plane), ...more);
      const drawn = grid({
        label: panel.planeTitle(plane), rows: panel.rows, columns: panel.columns,
        padding: panel.padding, cell: panel.planes.length > 4 ? 36 : null,
        symbol: placed((place) => panel.symbol(place)),
        onselect: isResult ? placed(onchoose) : null,
        onpoint: isResult ? null : (row, column) => this.#pointCell(panel.name, row, column, plane),
        onedit: panel.editable ? placed((place, value) => onedit(panel.name, place, value)) : null,
      });
      this.grids.set(`${panel.name}:${plane.join()}`, drawn);
      return drawn.element;
    });
    return html("div", { class: `group${isResult ? " result" : ""}` },
      panel.planes.length > 1 ? html("h2", { class: "group-title" }, panel.title) : null,
      html("div", { class: "planes" }, figures),
      html("p", { class: "hint" }, isResult ? "choose a number" : "numbers can be changed"));
  }

  #spot(panel, place) {
    const { row, column, plane } = panel.spot(place);
    const key = `${panel.name}:${plane}`;
    return { drawn: this.grids.get(key), row, column, key };
  }

  /** Marks which cells take part in the view's chosen element. */
  choose(playing) {
    const { view } = this;
    const { form, place, winner: best, wins } = view.chosen;
    this.pointed = null;
    const marks = new Map([...this.grids.keys()].map((key) => [key, []]));
    const mark = ({ row, column, key }, as) => marks.get(key).push({ row, column, as });
    const boxes = new Map();
    const around = ({ row, column, key }) => {
      const [[top, left], [bottom, right]] = boxes.get(key) ?? [[row, column], [row, column]];
      boxes.set(key, [[Math.min(top, row), Math.min(left, column)],
        [Math.max(bottom, row), Math.max(right, column)]]);
    };
    form.terms.forEach((term, i) => {
      const spots = cellsOf(view, term).map(({ panel, place: cell }) => this.#spot(panel, cell));
      if (!spots.every(({ drawn, row, column }) => drawn?.holds(row, column))) {
        return; // a product with what lies beyond the edge: no cell feeds the number through it
      }
      for (const spot of spots) {
        mark(spot, i === best || wins?.[i] ? "winner" : "used");
        around(spot);
      }
    });
    if (form.kind === "routed") {
      // In the input: the cell itself, the windows that it is in, and who is the largest of each.
      const [x] = view.panels;
      mark(this.#spot(x, place), "used");
      for (const { candidates } of form.terms) {
        const largest = winner(candidates.map(({ left }) => x.values[left.index]));
        mark(this.#spot(x, candidates[largest].left.place), "winner");
        candidates.forEach(({ left }) => around(this.#spot(x, left.place)));
      }
    }
    const chosen = this.#spot(view.result, place);
    mark(chosen, "selected");
    const { rows, columns } = view.result;
    const first = playing ? chosen.row * columns + chosen.column + 1 : rows * columns;
    for (let i = first; i < rows * columns; i += 1) {
      mark({ row: Math.floor(i / columns), column: i % columns, key: chosen.key }, "later");
    }
    const slides = `${view.panels[0].name}:`;
    for (const [key, drawn] of this.grids) {
      drawn.mark(marks.get(key));
      drawn.outline(key.startsWith(slides) ? boxes.get(key) ?? null : null);
    }
    chosen.drawn.select(chosen.row, chosen.column);
    this.arrows.show(() => this.#pairs());
  }

  #pairs() {
    const { view } = this;
    const { form: { terms }, wins } = view.chosen;
    const target = this.#spot(view.result, view.chosen.place);
    const to = target.drawn.box(target.row, target.column);
    return terms.flatMap((term, i) => {
      const strong = i === this.pointed;
      const [{ panel, place }] = cellsOf(view, term);
      const { drawn, row, column } = this.#spot(panel, place);
      const from = drawn?.box(row, column);
      // Quiet arrows would cover words where grids stand one below the other, or are many.
      const feeds = from && (wins?.[i] ?? true);
      const quiet = feeds && terms.length <= MOST_ARROWS && beside(drawn, target.drawn);
      return strong || quiet ? [{ from, to, strong }] : [];
    });
  }

  /** Shows the cells of a term; null for none. */
  point(i) {
    this.pointed = i;
    for (const drawn of this.grids.values()) {
      drawn.point(null, null);
    }
    const term = i === null ? null : this.view.chosen.form.terms[i];
    for (const { panel, place } of term ? cellsOf(this.view, term) : []) {
      const { drawn, row, column } = this.#spot(panel, place);
      drawn?.point(row, column);
    }
    this.arrows.show(() => this.#pairs());
  }

  #pointCell(name, row, column, plane) {
    const found = row === null ? -1 : this.view.chosen.form.terms.findIndex((term) =>
      cellsOf(this.view, term).some(({ panel, place }) => {
        const spot = panel.spot(place);
        return panel.name === name && spot.row === row && spot.column === column
          && spot.plane === plane.join();
      }));
    this.options.onpoint(found < 0 ? null : found);
  }
}
