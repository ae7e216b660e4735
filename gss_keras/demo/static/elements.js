// Small helpers that make elements of the page and words for numbers.

export const byId = (id) => document.getElementById(id);

// Makes an element; strings become text, never markup.
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

export function percent(share) {
  if (share > 0 && share < 0.0005) return "<\u00a00.1\u00a0%";
  const digits = share < 0.0995 || share > 0.995 && share < 1 ? 1 : 0;
  return `${(100 * share).toFixed(digits)}\u00a0%`;
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
