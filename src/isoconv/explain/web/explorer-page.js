// The start of the local page: an explorer whose numbers come from the server that the page is from.

import { mount } from "./explorer.js";
import { HttpSource } from "./source.js";

// The token has done its work: it is in a cookie now, and need not stand in the address.
history.replaceState(null, "", `${location.pathname}${location.hash}`);
mount(document.getElementById("isoconv-root"), new HttpSource());
