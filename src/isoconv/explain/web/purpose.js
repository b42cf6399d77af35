// A sentence under the title that says what the explorer is for, until it was dismissed.

import { html } from "./dom.js";

const DISMISSED = "isoconv explorer: its sentence was read";

/** What the page is for, in a sentence; gone for good once it was dismissed. */
export function hint() {
  const close = html("button", { type: "button", class: "link", onclick: () => {
    told.hidden = true;
    try {
      localStorage.setItem(DISMISSED, "yes");
    } catch {
      // A page without a memory of its own says it once more.
    }
  } }, "understood");
  const told = html("p", { class: "hint purpose" }, "Choose a layer and click a cell of its map: below "
    + "stands what its number is made of, term by term. ", close);
  try {
    told.hidden = localStorage.getItem(DISMISSED) !== null;
  } catch {
    told.hidden = false;
  }
  return told;
}
