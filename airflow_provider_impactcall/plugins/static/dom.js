// Elements, and the text in them. Nothing here reads text as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      node.addEventListener(name, value);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * An element of HTML.
 * @param attributes by name; a function becomes the listener of that event; null and false are left out
 * @param children nodes, and strings, which become text
 */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG, with the same parameters. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The element of this page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Announce a text to screen readers. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Scroll to a section, and move the keyboard's focus to its title. */
export function goTo(section) {
  const calmly = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  section.scrollIntoView({ behavior: calmly ? "auto" : "smooth", block: "start" });
  section.querySelector("[tabindex='-1']")?.focus({ preventScroll: true });
}
