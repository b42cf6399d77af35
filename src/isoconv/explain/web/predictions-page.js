// The start of the prediction server's page.

import { mount } from "./predictions.js";

mount(document.getElementById("isoconv-root"));
