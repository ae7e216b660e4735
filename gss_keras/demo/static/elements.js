// Helpers that create DOM elements and format numbers.

export const byId = (id) => document.getElementById(id);

// Create an element. String children become text nodes, never markup.
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "role") {
      element.setAttribute(key, value);
    } else {
      element[key] = value;
    }
  }
  element.append(...children);
  return element;
}

export function swatch(color) {
  const element = make("span", { className: "swatch" });
  element.style.background = color;
  return element;
}

export function percent(fraction) {
  if (fraction > 0 && fraction < 0.0005) return "<\u00a00.1\u00a0%";
  const digits =
    fraction < 0.0995 || fraction > 0.995 && fraction < 1 ? 1 : 0;
  return `${(100 * fraction).toFixed(digits)}\u00a0%`;
}

export function seconds(value) {
  return value < 0.0995
    ? `${Math.max(1, Math.round(1000 * value))}\u00a0ms`
    : `${value.toFixed(value < 9.95 ? 2 : 1)}\u00a0s`;
}

export function times(count) {
  return count === 1 ? "once" : `${count.toLocaleString("en")} times`;
}

export function megabytes(bytes) {
  return `${Number((bytes / 2 ** 20).toPrecision(3))}\u00a0MB`;
}
