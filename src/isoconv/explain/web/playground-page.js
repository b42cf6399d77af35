// The start of the playground's own page: puts it into the element that the page keeps for it.

import { mountPlayground } from "./playground.js";

mountPlayground(document.getElementById("isoconv-root"));
