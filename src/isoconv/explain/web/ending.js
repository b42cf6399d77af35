// The network's end: results, softmax and cross-entropy, class by class, with p − y; and the same sums
// as the engine has them.

import { html, refill } from "./dom.js";
import { add, sameBits, shown } from "./float32.js";

const WORDS = {
  softmax: "p = exp(z − max z) / sum of exp(z − max z) over the classes",
  sigmoid: "p = 1 / (1 + exp(−z))",
};

/** What the network makes of its last results; `onchoose(number)` is told which class. */
export class Ending {
  constructor({ onchoose }) {
    this.onchoose = onchoose;
    this.element = html("div", { class: "ending" });
  }

  /** Shows a scene's end, with one class chosen. */
  async show(scene, chosen) {
    const { logits, probabilities, loss, finish, image, of, gradients } = scene.told;
    const found = of === "loss" ? gradients[logits] : undefined;
    const known = await scene.arrays([logits, probabilities]);
    const [scores, chances] = known;
    const back = found === undefined ? null : await scene.array(found);
    const lost = loss === null || image.label === null ? null : (await scene.array(loss))[0];
    const softmax = finish === "softmax";
    const finished = softmax || finish === "sigmoid";
    const withLabel = softmax && image.label !== null;
    const y = (number) => (number === image.label ? 1 : 0);
    const heads = ["class", "result z", ...finished ? ["probability p"] : [],
      ...withLabel ? ["label y", "p − y"] : [], ...back ? ["gradient of the loss by z"] : []];
    // Of a map those of the chosen place alone: each place has a softmax of its own.
    const { ofPlaces } = scene;
    const count = ofPlaces ? scene.shape(logits)[2] : scores.length;
    const first = ofPlaces ? chosen - chosen % count : 0;
    const numbers = Array.from({ length: count }, (_, place) => first + place);
    const order = numbers.sort((a, b) => chances[b] - chances[a] || a - b);
    const rows = order.map((number) => {
      const difference = add(chances[number], -y(number));
      return html("tr", { class: number === chosen ? "pointed" : null },
        html("th", { scope: "row" }, html("button", { type: "button", class: "link",
          "aria-pressed": String(number === chosen), onclick: () => this.onchoose(number) },
        scene.className(number))),
        html("td", {}, shown(scores[number])),
        finished ? html("td", {}, shown(chances[number])) : null,
        withLabel ? [html("td", {}, String(y(number))), html("td", {}, shown(difference))] : null,
        back ? html("td", { class: "sum" }, shown(back[number])) : null);
    });
    const same = back && withLabel && scores.every((_, number) =>
      sameBits(add(chances[number], -y(number)), back[number]));
    refill(this.element,
      html("p", {}, finished ? WORDS[finish] : "The network's results are not finished by softmax."),
      html("div", { class: "term-list", tabindex: 0, role: "region", "aria-label": "classes" },
        html("table", { class: "terms" }, html("thead", {}, html("tr", {}, heads.map((name) =>
          html("th", { scope: "col" }, name)))), html("tbody", {}, rows))),
      back && withLabel ? html("p", { class: same ? "bits same" : "bits" }, same
        ? "✓ p − y, worked off in this page, has the same bits as the engine's gradient"
        : "The engine works p out within its gradient once more, from z and the sum of exp: the last "
          + "digits of p − y may differ from its own.") : null,
      lost === null ? html("p", { class: "hint" }, ofPlaces
        ? "The loss needs a class for each place, which this page does not know."
        : "The loss needs a label: say beside the picture which class it is.")
        : html("p", {}, softmax ? `loss = −log p of ${scene.className(image.label)} = ` : "loss = ",
          html("strong", { class: "number", "data-value": shown(lost) }, shown(lost))));
  }
}
