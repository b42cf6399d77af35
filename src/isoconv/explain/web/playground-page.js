// The start of the playground's own page: puts it into the element that the page keeps for it.

import { mountPlayground } from "./playground.js";

if (location.search) {
  // A token has done its work: it is in a cookie now, and belongs into no link that is sent on.
  history.replaceState(null, "", `${location.pathname}${location.hash}`);
}
mountPlayground(document.getElementById("isoconv-root"));
