// The card of a token: its decoded patch, its frequency and its classes.

import { css, paintSquare, tokenColor, tokenIndex } from "./paint.js";
import { byId, make, percent, swatch, times } from "./elements.js";
import { describeToken } from "./server.js";

// Number of neighboring tokens on each side in the patch of the context.
const CONTEXT = 3;
const MAX_COMMON = 10;

// List the most frequent tokens of a result as buttons.
export function showCommonTokens(result, model, onPick) {
  const counts = new Map();
  for (const token of result.tokens) {
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MAX_COMMON);
  byId("tokens-used").textContent =
    `${counts.size} of the codebook's ${model.codebook_size} tokens are ` +
    "used. Most frequent:";
  byId("common-tokens").replaceChildren(...common.map(([token, count]) => {
    const button = make(
      "button", { type: "button", title: `occurs ${times(count)}` },
      swatch(css(tokenColor(token))), String(token),
    );
    button.addEventListener("click", () =>
      onPick(result.tokens.indexOf(token))
    );
    return button;
  }));
}

export function showNoToken() {
  byId("token").replaceChildren(make(
    "p", { className: "muted small" },
    "Click on the image to inspect a token: its decoded patch and where else " +
    "it occurs.",
  ));
}

export async function showToken(result, model, index, onClear) {
  const token = result.tokens[index];
  const patches = make("div", { className: "patches" });
  const clear = make("button", { type: "button", className: "link" },
    "Clear");
  clear.addEventListener("click", onClear);
  byId("token").replaceChildren(
    make("p", { className: "token-head" },
      swatch(css(tokenColor(token))),
      make("strong", {}, `Token ${token}`), clear),
    patches,
    make("p", {}, describeFrequency(result, token, index)),
    make("p", {}, describeClasses(result, model, token)),
  );
  const entry = await describeToken(token);
  patches.replaceChildren(
    patch("isolated", (canvas) =>
      paintSquare(canvas, entry.alone, entry.side)),
    patch("repeated", (canvas) =>
      paintSquare(canvas, entry.field, entry.side)),
    patch("in context", (canvas) => paintContext(canvas, result, index),
      "context"),
  );
}

function patch(caption, draw, className = "") {
  const canvas = make("canvas", { role: "img", "aria-label": caption });
  draw(canvas);
  return make("figure", { className },
    make("span", {}, canvas), make("figcaption", {}, caption));
}

function describeFrequency(result, token, index) {
  const count = result.tokens.reduce((sum, id) => sum + (id === token), 0);
  const fraction = percent(count / result.tokens.length);
  const probability = percent(result.tokenProbability[index] / 255);
  return `Occurs ${times(count)}, ${fraction} of all tokens. ` +
    `Predicted probability at this position: ${probability}.`;
}

function describeClasses(result, model, token) {
  const counts = new Map();
  let total = 0;
  for (let y = 0, i = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++, i++) {
      const index = tokenIndex(result, result.stride, x, y);
      if (result.tokens[index] !== token) continue;
      const id = result.mask[i];
      counts.set(id, (counts.get(id) ?? 0) + 1);
      total += 1;
    }
  }
  const fractions = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4)
    .map(([id, count]) => `${model.classes[id]} ${percent(count / total)}`);
  return `Classes of its pixels: ${fractions.join(", ")}.`;
}

// Render the maskige around a token, which the stylesheet outlines.
function paintContext(canvas, result, index) {
  const { stride, columns, width, height, maskige } = result;
  const side = (2 * CONTEXT + 1) * stride;
  const left = ((index % columns) - CONTEXT) * stride;
  const top = (Math.floor(index / columns) - CONTEXT) * stride;
  const rgb = new Uint8Array(3 * side * side).fill(127);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [column, row] = [left + x, top + y];
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const from = 3 * (row * width + column);
      rgb.set(maskige.subarray(from, from + 3), 3 * (y * side + x));
    }
  }
  paintSquare(canvas, rgb, side);
}
