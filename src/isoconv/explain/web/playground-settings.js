// The playground's form of settings. What is wrong with a setting is told in one line below it.

import { freshId, html, refill } from "./dom.js";
import { axisNames, FIELDS, has, OPERATIONS, SWITCHES } from "./playground-state.js";

const PAIRS = { height: ["top", "bottom"], width: ["left", "right"], length: ["before", "after"] };

/** Form of settings; `onchange(settings)` gets them as they are typed, right or wrong. */
export class SettingsForm {
  constructor({ onchange, onrank }) {
    this.onchange = onchange;
    this.onrank = onrank;
    this.rows = html("div", { class: "rows" });
    // Beside the picture it is open; above it, on a narrow screen, only when it is asked for.
    this.element = html("details", { class: "settings", open: window.innerWidth > 760 },
      html("summary", {}, "Settings"), html("form", { "aria-label": "settings",
        onsubmit: (event) => event.preventDefault() }, this.rows));
  }

  /** Builds the fields that the settings' operation has, with their values. */
  show(settings) {
    this.settings = settings;
    this.lines = new Map();
    const lists = () => [...this.rows.querySelectorAll("select")];
    const held = lists().indexOf(document.activeElement);
    refill(this.rows, this.#operation(), this.#rank(),
      FIELDS.filter((field) => has(settings, field)).map((field) => this.#field(field)),
      SWITCHES.filter((field) => has(settings, field)).map((field) => this.#switch(field)));
    lists()[held]?.focus(); // who chose in a list by keyboard goes on from there
  }

  /** Tells what is wrong: {field: one line}. */
  tell(problems) {
    for (const [name, { said, inputs }] of this.lines) {
      said.textContent = problems[name] ?? "";
      said.parentElement.classList.toggle("wrong", name in problems);
      for (const input of inputs) {
        if (problems[name]) {
          input.setAttribute("aria-invalid", "true");
          input.setAttribute("aria-describedby", said.id);
        } else {
          input.removeAttribute("aria-invalid");
          input.removeAttribute("aria-describedby");
        }
      }
    }
  }

  #change(changed) {
    this.settings = { ...this.settings, ...changed };
    this.onchange(this.settings);
  }

  #select(label, options, value, onchange) {
    const id = freshId("select");
    const list = html("select", { id, onchange: () => onchange(list.value) },
      options.map(([name, text]) => html("option", { value: name }, text)));
    list.value = value;
    return html("div", { class: "row" }, html("label", { for: id }, label), list);
  }

  #operation() {
    return this.#select("Operation", OPERATIONS, this.settings.op, (op) =>
      this.#change({ op, at: null }));
  }

  #rank() {
    return this.#select("Dimensions", [["1", "one: a row"], ["2", "two: a picture"]],
      String(this.settings.size.length), (rank) => this.onrank(Number(rank)));
  }

  #field(field) {
    const value = this.settings[field.name];
    const id = freshId("field");
    const said = html("p", { class: "problem", id: `${id}-said`, role: "status" });
    const inputs = [];
    const input = (text, number, put) => {
      const one = html("input", { type: "number", min: field.low, max: field.high, step: 1,
        value: number, "aria-label": text, inputmode: "numeric",
        oninput: () => put(one.value === "" ? NaN : Number(one.value)) });
      inputs.push(one);
      return one;
    };
    const replaced = (at, one) =>
      this.settings[field.name].map((old, axis) => (axis === at ? one : old));
    const names = axisNames(this.settings.size.length);
    let controls;
    if (!field.axes) {
      controls = [input(field.label, value, (one) => this.#change({ [field.name]: one }))];
    } else if (!field.pairs) {
      controls = value.map((number, axis) =>
        input(`${field.label}, ${names[axis]}`, number, (one) =>
          this.#change({ [field.name]: replaced(axis, one) })));
    } else {
      controls = value.flatMap((pair, axis) => pair.map((number, side) =>
        input(`${field.label}, ${PAIRS[names[axis]][side]}`, number, (one) => {
          const both = [...this.settings[field.name][axis]];
          both[side] = one;
          this.#change({ [field.name]: replaced(axis, both) });
        })));
    }
    this.lines.set(field.name, { said, inputs });
    const hint = { 1: "", 2: field.pairs ? "before, after" : "h × w",
      4: "top, bottom, left, right" }[controls.length];
    return html("fieldset", { class: field.pairs ? "row" : "row half" },
      html("legend", {}, field.label, hint ? html("span", { class: "hint" }, ` ${hint}`) : null),
      html("div", { class: "numbers" }, controls), said);
  }

  #switch(field) {
    const id = freshId("switch");
    const box = html("input", { type: "checkbox", id, checked: this.settings[field.name],
      onchange: () => this.#change({ [field.name]: box.checked }) });
    return html("div", { class: "row switch" }, box, html("label", { for: id }, field.label));
  }
}
