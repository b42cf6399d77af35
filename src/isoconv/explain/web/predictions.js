// The prediction server's page: pictures are dropped, pasted or chosen, and each gets its classes.

import { html, refill } from "./dom.js";

const CLASSES = 5;

/** The token that stands behind the # of the address, which a browser sends to nobody. */
function tokenOf(hash) {
  return new URLSearchParams(hash.slice(1)).get("token") ?? "";
}

/** What a server says of one picture; an error where there is nothing to be said. */
async function predicted(file, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    const body = new FormData();
    body.append("picture", file, file.name || "a picture");
    answer = await fetch(`/predict?top=${CLASSES}`, { method: "POST", body, headers });
  } catch {
    throw new Error("the server does not answer: it may have ended, or refused so large a picture");
  }
  const told = await answer.json();
  if (!answer.ok) {
    throw Object.assign(new Error(told.error), { unknown: answer.status === 401 });
  }
  return told.predictions[0];
}

function percent(probability) {
  return `${(100 * probability).toFixed(2)} %`;
}

/** The classes of a picture with a bar for each. */
function bars(classes) {
  return html("ol", { class: "classes" }, classes.map(({ name, probability, share }) => {
    // Of masks it is the share of a class in the pixels.
    const part = probability ?? share;
    const bar = html("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${100 * part}%`;
    return html("li", {}, html("span", { class: "name" }, name),
      html("span", { class: "share" }, percent(part)), bar);
  }));
}

class Page {
  constructor(root) {
    this.token = tokenOf(location.hash);
    this.model = html("p", { class: "said digest" });
    this.cards = html("div", { class: "cards", "aria-live": "polite" });
    this.pick = html("input", { type: "file", multiple: true, accept: "image/*", id: "pictures",
      onchange: () => {
        this.take([...this.pick.files]);
        this.pick.value = "";
      } });
    this.place = html("div", { class: "drop" },
      html("label", { for: "pictures" }, "Choose pictures"), this.pick,
      html("p", { class: "said" }, "or drop or paste them here"));
    this.asked = html("form", { class: "token", hidden: true, onsubmit: (event) => this.#know(event) },
      html("label", { for: "token" }, "This server asks for its token, which it was given or printed:"),
      html("input", { type: "text", id: "token", autocomplete: "off", spellcheck: "false" }),
      html("button", { type: "submit" }, "Use it"));
    refill(root, html("header", {}, html("h1", {}, "What is in a picture"), this.model),
      this.asked, this.place, this.cards);
    this.#listen();
    this.#greet();
  }

  #listen() {
    for (const name of ["dragover", "drop", "paste"]) {
      document.addEventListener(name, (event) => {
        if (name === "paste" && event.target.matches?.("input[type=text]")) {
          return;
        }
        event.preventDefault();
        this.place.classList.toggle("over", name === "dragover");
        this.take([...((event.dataTransfer ?? event.clipboardData)?.files ?? [])], name);
      });
    }
    document.addEventListener("dragleave", () => this.place.classList.remove("over"));
  }

  async #greet() {
    try {
      const { model } = await (await fetch("/health")).json();
      document.title = model.name;
      this.model.textContent = `${model.name}, model sha256:${model.digest}`;
    } catch {
      this.model.textContent = "the server does not answer";
    }
  }

  #know(event) {
    event.preventDefault();
    this.token = this.asked.querySelector("input").value.trim();
    this.asked.hidden = true;
    const again = [...this.cards.querySelectorAll(".card")].filter((card) => card.again);
    again.reverse().forEach((card) => {
      card.remove();
      this.take([card.again]);
    });
  }

  /** Ask for pictures, the newest first on the page. */
  take(files, how) {
    if (how === "dragover") {
      return;
    }
    for (const file of files) {
      const card = html("article", { class: "card", "aria-busy": "true", "aria-label": file.name });
      const picture = html("img", { alt: "", src: URL.createObjectURL(file),
        onerror: () => picture.remove(), onload: () => URL.revokeObjectURL(picture.src) });
      const said = html("div", { class: "answer" }, html("p", { class: "said" }, "…"));
      card.append(picture, html("div", {}, html("h2", {}, file.name || "a picture"), said));
      this.cards.prepend(card);
      this.#answer(file, card, said);
    }
  }

  async #answer(file, card, said) {
    try {
      const { classes, notes, mask } = await predicted(file, this.token);
      const drawn = mask
        ? [html("img", { alt: "the class of each pixel", src: `data:image/png;base64,${mask}` })]
        : [];
      refill(said, drawn, bars(classes), notes.map((note) => html("p", { class: "said" }, note)));
    } catch (error) {
      if (error.unknown) {
        card.again = file;
        this.asked.hidden = false;
      }
      refill(said, html("p", { class: "fault" }, error.message));
    }
    card.setAttribute("aria-busy", "false");
  }
}

/** Draw the page into an element. */
export function mount(root) {
  return new Page(root);
}
