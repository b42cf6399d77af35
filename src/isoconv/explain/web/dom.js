// Elements of a page by construction: HTML and SVG. Text only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) {
      continue;
    }
    if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else if (name === "value" || name === "checked" || name === "disabled") {
      node[name] = value;
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element. Attributes named on… are listeners; null and false ones are left out. */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, filled as `html` fills. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replaces all that an element holds. */
export function refill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

let made = 0;

/** An id that no other element of this page has. */
export function freshId(stem) {
  made += 1;
  return `isoconv-${stem}-${made}`;
}

/** A <select> of [value, text] pairs; onchange gets the value. */
export function choice(label, options, value, onchange) {
  const list = html("select", { "aria-label": label, onchange: () => onchange(list.value) },
    options.map(([name, text]) => html("option", { value: name }, text)));
  list.value = value;
  return list;
}

/** Whether the person asked for little movement. */
export function calm() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/**
 * A name with its index below it: symbol("x", [0, 1]) is "x₀₁"; `commas` stand between the
 * numbers, as is wanted where an index of the array has two digits.
 */
export function symbol(name, index, commas = false) {
  const small = index.map((number) => [...String(number)].map((digit) => SUBSCRIPTS[digit]).join(""));
  return name + small.join(commas ? "," : "");
}

/** Letters for gradients: w, x and y mean something else, and l looks like 1. */
export const LETTERS = "abcdefghijkmnopqrstuv";

/**
 * Tabs: a row of buttons of which one is chosen; arrow keys go from one to the next.
 *
 * @param tabs [name, text] pairs.
 * @returns {element, show(name, names)}: choose one, and say which ones there are.
 */
export function tabList(label, tabs, panel, onchoose) {
  const buttons = new Map(tabs.map(([name, text]) => [name, html("button", {
    type: "button", role: "tab", id: freshId("tab"), "aria-controls": panel.id,
    onclick: () => onchoose(name),
  }, text)]));
  const element = html("div", { class: "tabs", role: "tablist", "aria-label": label,
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) {
        return;
      }
      const there = [...buttons].filter(([, button]) => !button.hidden);
      const now = there.findIndex(([, button]) => button === document.activeElement);
      const [name, button] = there[(now + step + there.length) % there.length];
      event.preventDefault();
      onchoose(name);
      button.focus();
    } }, [...buttons.values()]);
  function show(chosen, names) {
    for (const [name, button] of buttons) {
      button.hidden = !names.includes(name);
      button.setAttribute("aria-selected", String(name === chosen));
      button.tabIndex = name === chosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", buttons.get(chosen).id);
  }
  return { element, show };
}
