// The card of a token: what it paints, where it occurs, what it becomes.

import { css, paintSquare, tokenColor, tokenPlace } from "./paint.js";
import { byId, make, percent, swatch, times } from "./elements.js";
import { describeToken } from "./server.js";

// So many tokens to each side show what stands around the picked one.
const AROUND = 3;
const SHOWN = 10;

// Lists the commonest tokens of a result, to be picked from.
export function showCommonTokens(result, model, onPick) {
  const counts = new Map();
  for (const token of result.tokens) {
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, SHOWN);
  byId("tokens-used").textContent =
    `${counts.size} of ${model.codebook_size} tokens occur here. ` +
    "The commonest:";
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
    "p", { className: "soft small" },
    "Click anywhere in the picture to see the token there: what the decoder " +
    "paints for it and where else it occurs.",
  ));
}

export async function showToken(result, model, place, onClear) {
  const token = result.tokens[place];
  const patches = make("div", { className: "patches" });
  const clear = make("button", { type: "button", className: "link" },
    "Let go");
  clear.addEventListener("click", onClear);
  byId("token").replaceChildren(
    make("p", { className: "token-head" },
      swatch(css(tokenColor(token))),
      make("strong", {}, `Token ${token}`), clear),
    patches,
    make("p", {}, sayWhere(result, token, place)),
    make("p", {}, sayClasses(result, model, token)),
  );
  const entry = await describeToken(token);
  patches.replaceChildren(
    patch("alone", (canvas) => paintSquare(canvas, entry.alone, entry.side)),
    patch("among its like", (canvas) =>
      paintSquare(canvas, entry.field, entry.side)),
    patch("here", (canvas) => paintAround(canvas, result, place)),
  );
}

function patch(caption, draw) {
  const canvas = make("canvas", { role: "img", "aria-label": caption });
  draw(canvas);
  return make("figure", { className: caption === "here" ? "here" : "" },
    make("span", {}, canvas), make("figcaption", {}, caption));
}

function sayWhere(result, token, place) {
  const count = result.tokens.reduce((sum, id) => sum + (id === token), 0);
  const share = percent(count / result.tokens.length);
  const sure = percent(result.tokenProbability[place] / 255);
  return `Occurs ${times(count)} here, ${share} of all places. ` +
    `At this one the prior held it ${sure} probable.`;
}

function sayClasses(result, model, token) {
  const counts = new Map();
  let total = 0;
  for (let y = 0, i = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++, i++) {
      const place = tokenPlace(result, result.stride, x, y);
      if (result.tokens[place] !== token) continue;
      const id = result.mask[i];
      counts.set(id, (counts.get(id) ?? 0) + 1);
      total += 1;
    }
  }
  const shares = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4)
    .map(([id, count]) => `${model.classes[id]} ${percent(count / total)}`);
  return `Its pixels became ${shares.join(", ")}.`;
}

// Draws what was decoded around a place; the stylesheet frames its middle.
function paintAround(canvas, result, place) {
  const { stride, columns, width, height, maskige } = result;
  const side = (2 * AROUND + 1) * stride;
  const left = ((place % columns) - AROUND) * stride;
  const top = (Math.floor(place / columns) - AROUND) * stride;
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
