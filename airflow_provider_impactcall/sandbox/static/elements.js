// Functions that make elements for the other modules. Text becomes text, never markup.

export function byId(id) {
  return document.getElementById(id);
}

/**
 * @param {string} tag
 * @param {Object<string, string | boolean | Function>} attributes `class`, `onclick` and the like; false leaves one out
 * @param {...(Node | string | null)} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Set a text only if it differs, so that assistive technology announces only changes. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
