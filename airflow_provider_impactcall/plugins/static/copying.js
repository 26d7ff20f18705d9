// A button that copies text to the clipboard, and says when it is done.

import { announce, make } from "./dom.js";

const SHOWN = 2_000;

// Browsers give pages a clipboard only over TLS.
function copyOldWay(text) {
  const area = make("textarea", { class: "unseen", readonly: true, "aria-hidden": "true", tabindex: -1 });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

/**
 * @param text what is copied
 * @param what the text is, for screen readers
 */
export function copyButton(text, what) {
  const label = make("span", {}, "Copy");
  const button = make("button", { type: "button", class: "small", "aria-label": `Copy ${what}` }, label);
  button.addEventListener("click", async () => {
    const done = await copy(text);
    button.focus();
    label.textContent = done ? "Copied" : "Select it, and copy";
    announce(done ? `Copied ${what}` : `Your browser does not let a page copy: select the text`);
    window.setTimeout(() => (label.textContent = "Copy"), SHOWN);
  });
  return button;
}
