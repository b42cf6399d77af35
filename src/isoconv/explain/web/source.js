// Where an explorer's page gets its numbers from: a server on this machine, the page's own file, or a
// notebook's kernel. A source has description(), array(scene, id), ask(what, arguments), show(file) and
// can(what); all but the last give promises.

function failure(text, stale = false) {
  return Object.assign(new Error(text || "the network did not answer"), { stale });
}

/** Keeps the number of the scene that an answer describes: questions say which one they are about. */
function keep(source, told) {
  if (told.format === "isoconv-scene") {
    source.scene = told.scene;
  }
  return told;
}

/** The local page's server. */
export class HttpSource {
  async #json(address, options = {}) {
    let answer;
    try {
      answer = await fetch(address, { credentials: "same-origin", ...options });
    } catch {
      throw failure("the program behind this page has ended: start it again with isoconv view");
    }
    const told = await answer.json();
    if (!answer.ok) {
      throw failure(told.error, answer.status === 409);
    }
    return keep(this, told);
  }

  async description() {
    const found = await this.#json("/description");
    this.abilities = new Set(found.abilities);
    return found;
  }

  async array(scene, id) {
    const answer = await fetch(`/array/${scene}/${id}`, { credentials: "same-origin" });
    if (!answer.ok) {
      throw failure((await answer.json()).error, answer.status === 409);
    }
    return new Float32Array(await answer.arrayBuffer());
  }

  ask(what, args = {}) {
    return this.#json(`/ask/${encodeURIComponent(what)}`, {
      method: "POST", body: JSON.stringify({ ...args, scene: this.scene }),
      headers: { "content-type": "application/json" },
    });
  }

  show(file) {
    return this.#json(`/show?name=${encodeURIComponent(file.name || "a picture")}`,
      { method: "POST", body: file });
  }

  can(what) {
    return this.abilities?.has(what) ?? false;
  }
}

/** A page that stands alone: everything lies in its own elements. */
export class EmbeddedSource {
  constructor(page = document) {
    this.page = page;
  }

  async description() {
    const text = this.page.getElementById("isoconv-description").textContent;
    return { ...JSON.parse(text), scene: 0, abilities: [] };
  }

  async array(_, id) {
    const holder = this.page.getElementById(`isoconv-array-${id}`);
    if (!holder) {
      throw failure("these numbers were left out of this file; isoconv view has them");
    }
    const packed = Uint8Array.from(atob(holder.textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Float32Array(await new Response(stream).arrayBuffer());
  }

  async ask() {
    throw failure("this page stands alone; isoconv view answers more");
  }

  async show() {
    throw failure("this page stands alone; isoconv view takes other pictures");
  }

  can() {
    return false;
  }
}

/** A notebook's kernel: questions and answers are messages of a widget. */
export class MessageSource {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.number = 0;
    model.on("msg:custom", (message, buffers) => {
      const waiter = this.waiting.get(message?.answer);
      if (!waiter) {
        return;
      }
      this.waiting.delete(message.answer);
      if (message.error) {
        waiter.fail(failure(message.error, message.stale));
      } else {
        waiter.done({ ...message, buffers: buffers ?? [] });
      }
    });
  }

  #send(question, buffers = []) {
    this.number += 1;
    const number = this.number;
    return new Promise((done, fail) => {
      this.waiting.set(number, { done, fail });
      this.model.send({ ...question, number }, undefined, buffers);
    });
  }

  async description() {
    const { told } = await this.#send({ kind: "description" });
    this.abilities = new Set(told.abilities);
    return keep(this, told);
  }

  async array(scene, id) {
    const { buffers } = await this.#send({ kind: "array", scene, id });
    const view = buffers[0];
    const bytes = view.buffer ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)
      : view;
    return new Float32Array(bytes);
  }

  async ask(what, args = {}) {
    const asked = { ...args, scene: this.scene };
    return keep(this, (await this.#send({ kind: "ask", what, arguments: asked })).told);
  }

  async show(file) {
    const content = new DataView(await file.arrayBuffer());
    const question = { kind: "show", name: file.name || "a picture" };
    return keep(this, (await this.#send(question, [content])).told);
  }

  can(what) {
    return this.abilities?.has(what) ?? false;
  }
}
