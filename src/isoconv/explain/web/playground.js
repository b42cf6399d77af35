// The playground: convolution and pooling without a model. Numbers and settings can be changed, and
// every number of the result, forward and backward, is shown with the terms that it is made of.

import { grid } from "./drawing.js";
import { choice, freshId, html, refill, tabList } from "./dom.js";
import { shown } from "./float32.js";
import { Player } from "./motion.js";
import { SettingsForm } from "./playground-settings.js";
import { EXAMPLES, exampleState, fromFragment, problemsOf, shapesOf, tabsOf, toFragment,
  withNumbers, withRank } from "./playground-state.js";
import { Stage } from "./playground-stage.js";
import { ending, leftOut, line, productsOf, reordered, sizeLines, table,
  viewOf } from "./playground-views.js";
import { TermList } from "./sums.js";
import { flat } from "./windows.js";

const MOST_IN_LINE = 18;
const MOST_ELEMENTS = 64;
const WRONG = "A setting cannot be used: the picture is that of the settings before.";

/** What is to be said of the chosen element's line. */
function remarks(view) {
  const { chosen, beyond } = view;
  const said = [];
  const others = leftOut(chosen);
  const several = others > 1;
  if (others && chosen.form.kind === "routed") {
    const more = chosen.wins.some((won) => won) ? "more " : "";
    said.push(`${others} ${more}window${several ? "s have" : " has"} this cell, but another number `
      + "is the largest there.");
  } else if (others) {
    said.push(`${others} product${several ? "s" : ""} with 0 (${beyond}) ${several ? "are" : "is"} `
      + `left out of the line and stand${several ? "" : "s"} in the list.`);
  }
  if (reordered(view, chosen)) {
    said.push("The line is in the order of the notes, the list in that of the engine.");
  }
  return said;
}

/** For whom a link to this page works. */
function reach() {
  if (location.protocol === "file:") {
    return "The link works wherever this file is at the same place.";
  }
  return ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname)
    ? "The link works on this machine while this page is served; a page for others is written by "
      + "isoconv view --save FILE."
    : "The link holds all numbers and settings.";
}

class Playground {
  constructor(root, { fragment = true, example = "conv" } = {}) {
    this.fragment = fragment;
    this.productGrids = [];
    this.#build(root);
    const found = fragment && location.hash.length > 1 ? fromFragment(location.hash)
      : { state: exampleState(example), notices: [] };
    this.#set(found.state, { notices: found.notices, settings: true });
    this.onhash = () => {
      if (location.hash.slice(1) !== this.written) {
        const { state, notices } = fromFragment(location.hash);
        this.#set(state, { notices, settings: true });
      }
    };
    if (fragment) {
      window.addEventListener("hashchange", this.onhash);
    }
  }

  /** Takes the playground off the page. */
  destroy() {
    this.player.stop();
    window.removeEventListener("hashchange", this.onhash);
    this.root.replaceChildren();
  }

  #build(root) {
    this.root = root;
    root.classList.add("isoconv");
    this.form = new SettingsForm({
      onchange: (settings) => this.#settle(settings),
      onrank: (rank) => this.#settle(withRank(this.form.settings, rank), true),
    });
    this.examples = choice("example", [["", "Choose an example…"], ...EXAMPLES], "", (name) => {
      if (name) {
        this.#set(exampleState(name), { settings: true });
        this.examples.value = name;
      }
    });
    this.copied = html("output", { class: "said", "aria-live": "polite" });
    this.copy = html("button", { type: "button", onclick: () => this.#copyLink() }, "Copy link");
    this.panel = html("section", { class: "sheet", role: "tabpanel", id: freshId("panel"),
      tabindex: -1 });
    this.tabs = tabList("direction", [["forward", "Forward"], ["input", "Gradient by input"],
      ["kernel", "Gradient by kernel"]], this.panel, (tab) =>
      this.#set({ ...this.state, tab, at: null }));
    this.notice = html("div", { class: "notices", role: "status" });
    this.stage = new Stage({ onchoose: (place) => this.#at(place), onpoint: (i) => this.#point(i),
      onedit: (name, place, value) => this.#edit(name, place, value) });
    this.player = new Player({ label: "slide the window", onstep: (step, playing) =>
      this.#step(step, playing) });
    this.name = html("h2", { class: "chosen-name" });
    this.lines = html("div", { class: "lines" });
    this.products = html("div", { class: "products" });
    this.remark = html("p", { class: "remark" });
    this.list = new TermList({ label: "Terms, in the order in which the engine adds them",
      onpoint: (i) => this.#point(i) });
    this.end = html("p", { class: "ending" });
    this.size = html("div", { class: "size" });
    this.all = html("ol", { class: "all" });
    this.allTitle = html("h2", {});
    refill(this.panel, this.notice, this.stage.element, this.player.element,
      html("div", { class: "chosen" },
        html("div", { class: "words", "aria-live": "polite" }, this.name, this.lines),
        this.products),
      this.remark,
      html("div", { class: "below" },
        html("div", { class: "column" }, this.list.element, this.end),
        html("div", { class: "column" }, html("h2", {}, "Size of the output"), this.size,
          this.allTitle, this.all)));
    refill(root, html("div", { class: "playground" },
      html("header", { class: "top" },
        html("div", { class: "heading" }, html("h1", {}, "Convolution, number by number"),
          html("p", {}, "Choose a number of the result to see its terms; "
            + "change any other number or setting.")),
        html("div", { class: "tools" }, this.examples, this.copy, this.copied)),
      html("div", { class: "body" }, this.form.element,
        html("div", { class: "work" }, this.tabs.element, this.panel))));
  }

  /** Settings as they are typed: shown if they are right, told what is wrong if not. */
  #settle(settings, again = false) {
    const problems = problemsOf(settings);
    const rebuilt = again || settings.op !== this.shownOp;
    if (Object.keys(problems).length) {
      if (rebuilt) {
        this.#fields(settings);
      }
      this.form.tell(problems);
      this.wrong = true;
      this.#notices([]);
      return;
    }
    this.wrong = false;
    this.#set(withNumbers(settings, this.state), { settings: rebuilt });
    this.form.tell({});
  }

  #fields(settings) {
    this.shownOp = settings.op;
    this.form.show(settings);
  }

  #notices(lines) {
    const all = this.wrong ? [WRONG, ...lines] : lines;
    refill(this.notice, all.map((text) => html("p", {}, text)));
  }

  /** Shows a state. */
  #set(state, { notices = [], settings = false } = {}) {
    this.player.stop();
    this.state = state;
    this.view = viewOf(state);
    this.state.at = this.view.chosen.place;
    this.examples.value = "";
    if (settings) {
      this.wrong = false;
      this.#fields(state);
    } else {
      this.form.settings = { ...this.form.settings, tab: state.tab, at: state.at };
    }
    this.#notices(notices);
    this.tabs.show(state.tab, tabsOf(state));
    const shapes = [state.op, state.tab, shapesOf(state), state.padding];
    this.stage.show(this.view, JSON.stringify(shapes));
    this.#choose();
  }

  // -- the chosen element ----------------------------------------------------------------------

  #choose() {
    const { view, state } = this;
    const { chosen, result } = view;
    this.pointed = null;
    this.stage.choose(this.player.playing);
    this.#player();
    const name = result.symbol(chosen.place);
    const words = (numbers) => this.#words(line(view, chosen, numbers));
    this.name.textContent = result.whereabouts(chosen.place);
    this.spans = new Map();
    const last = `= ${shown(chosen.value)}`;
    const numbers = html("p", {}, "= ", words(true));
    refill(this.lines, html("p", {}, `${name} = `, words(false)),
      numbers.textContent === last ? null : numbers, html("p", { class: "value" }, last));
    this.remark.textContent = remarks(view).join(" ");
    const { columns, cells } = table(view, chosen);
    this.list.show(columns, chosen.form.terms.length, cells);
    this.end.textContent = ending(chosen);
    const { formula, lines } = sizeLines(state);
    refill(this.size, html("p", { class: "formula" }, formula),
      lines.map((text) => html("p", { class: "filled" }, text)));
    this.#products();
    this.#all();
    this.#write();
  }

  /** The window times the kernel, cell by cell. */
  #products() {
    this.productGrids = productsOf(this.view).map(({ label, rows, columns, values, terms }) => {
      const drawn = grid({ label, rows, columns,
        onpoint: (row, column) =>
          this.#point(row === null ? null : terms[row * columns + column]) });
      drawn.show(values);
      return { drawn, terms, columns };
    });
    refill(this.products, this.productGrids.map(({ drawn }) => drawn.element));
  }

  /** A line's pieces; each term is linked to its cells. */
  #words(pieces) {
    const terms = pieces.filter(({ term }) => term !== null).length;
    let kept = 0;
    return pieces.flatMap(({ text, term }) => {
      kept += term === null ? 0 : 1;
      if (terms > MOST_IN_LINE && kept > MOST_IN_LINE - 2 && kept < terms) {
        return kept === MOST_IN_LINE - 1 && term !== null
          ? [`… (${terms - MOST_IN_LINE + 1} terms in the list below) … + `] : [];
      }
      if (term === null) {
        return [text];
      }
      const span = html("span", { class: "term", onmouseenter: () => this.#point(term),
        onmouseleave: () => this.#point(null) }, text);
      this.spans.set(term, [...(this.spans.get(term) ?? []), span]);
      return [span];
    });
  }

  /** All elements of the result as lines of symbols, as the notes list them. */
  #all() {
    const { elements, result, chosen } = this.view;
    const some = elements.slice(0, MOST_ELEMENTS);
    this.allTitle.textContent = elements.length > some.length
      ? `The first ${some.length} of ${elements.length} numbers` : "All numbers";
    refill(this.all, some.map((element) => {
      const pieces = line(this.view, element, false);
      const terms = pieces.filter(({ term }) => term !== null).length;
      const text = terms > MOST_IN_LINE ? `a sum of ${terms} products`
        : pieces.map((piece) => piece.text).join("");
      return html("li", {}, html("button", { type: "button", class: "plain",
        "aria-pressed": String(element === chosen), onclick: () => this.#at(element.place) },
      html("span", {}, `${result.symbol(element.place)} = ${text}`),
      html("span", { class: "value" }, ` = ${shown(element.value)}`)));
    }));
  }

  /** The elements of the chosen one's plane, over which the window slides. */
  #plane() {
    const { result, elements, chosen } = this.view;
    const { plane } = result.spot(chosen.place);
    return elements.filter((one) => result.spot(one.place).plane === plane);
  }

  #player() {
    const plane = this.#plane();
    this.player.show(plane.length, plane.indexOf(this.view.chosen));
  }

  #step(step, playing) {
    const element = this.#plane()[step];
    this.view.chosen = element;
    this.state.at = element.place;
    this.player.at = step;
    if (!playing && this.player.playing) {
      this.player.stop();
    }
    this.#choose();
  }

  #at(place) {
    this.player.stop();
    this.view.chosen = this.view.elements.find((one) => one.place.join() === place.join());
    this.state.at = place;
    this.#choose();
  }

  #edit(name, place, value) {
    const panel = this.view.panels.find((one) => one.name === name);
    const values = Float32Array.from(this.state[name]);
    values[flat(place, panel.shape)] = value;
    this.#set({ ...this.state, [name]: values });
  }

  // -- pointing --------------------------------------------------------------------------------

  /** Links a term, wherever it is pointed at, to its cells, its row and its place in the lines. */
  #point(i) {
    if (this.pointed === i) {
      return;
    }
    this.pointed = i;
    this.stage.point(i);
    for (const { drawn, terms, columns } of this.productGrids) {
      const at = i === null ? -1 : terms.indexOf(i);
      drawn.point(at < 0 ? null : Math.floor(at / columns), at % columns);
    }
    for (const [term, spans] of this.spans) {
      spans.forEach((span) => span.classList.toggle("pointed", term === i));
    }
    this.list.point(i);
  }

  // -- the address -----------------------------------------------------------------------------

  #write() {
    this.written = toFragment(this.state);
    if (this.fragment) {
      try {
        history.replaceState(null, "", `#${this.written}`);
      } catch {
        // A page inside another one may have no address of its own; the link can still be copied.
      }
    }
  }

  async #copyLink() {
    const link = `${location.href.split("#")[0]}#${this.written}`;
    try {
      await navigator.clipboard.writeText(link);
      this.copied.textContent = `Copied. ${reach()}`;
    } catch {
      const field = html("input", { type: "text", readonly: true, value: link, "aria-label": "link",
        class: "link" });
      refill(this.copied, "Press Ctrl+C: ", field);
      field.focus();
      field.select();
    }
  }
}

/**
 * Puts the playground into an element.
 *
 * @param root an element of the page.
 * @param options {fragment: whether the state is kept in the address after #, true; example: the
 *   example to open with where the address says nothing, "conv"}.
 * @returns the playground; `destroy()` takes it off the page.
 */
export function mountPlayground(root, options = {}) {
  return new Playground(root, options);
}
