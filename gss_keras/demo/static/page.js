// The page: what is shown, and what happens when a person acts.

import { byId, make, megabytes, percent, seconds } from "./elements.js";
import { confidenceColor, css, paint, tokenPlace } from "./paint.js";
import { showLegend, showPalettes, showTimes } from "./panels.js";
import { maskFile } from "./png.js";
import { describe, fetchExample, segment } from "./server.js";
import { showCommonTokens, showNoToken, showToken } from "./token_card.js";
import { Viewer } from "./viewer.js";

const SCALES = [0.25, 1 / 3, 0.5, 0.75, 1];
// The steps of the way in their order; `after` is what leads there.
const VIEWS = [
  { name: "photo", title: "Photo", caption: "The photo as the model sees it." },
  { name: "tokens", title: "Tokens", after: "prior", opacity: 100,
    caption: "One token for each square of pixels, as the prior predicts it. " +
      "Colors only tell tokens apart." },
  { name: "maskige", title: "Maskige", after: "decoder", opacity: 100,
    caption: "What the decoder paints for the tokens: a mask as an image." },
  { name: "mask", title: "Mask", after: "inverse", opacity: 60,
    caption: "The class of each pixel, read off the maskige's colors." },
  { name: "confidence", title: "Confidence", opacity: 90,
    caption: "How probable the model holds the class of each pixel." },
];
const state = {
  model: null, file: null, results: new Map(), result: null, view: "mask",
  palette: 0, kept: null, token: null, request: null,
  opacity: Object.fromEntries(VIEWS.map((v) => [v.name, v.opacity ?? 100])),
};

const viewer = new Viewer({ onPoint: tellPixel, onPick: pickToken });
const colors = () => state.model.palettes[state.palette].colors;

// From a file to a result

async function open(file) {
  if (!file) return;
  const { max_bytes: most } = state.model;
  if (file.size > most) {
    tell(`A file must have at most ${megabytes(most)}. Received: ` +
      `${file.name}, ${megabytes(file.size)}. Save the photo as JPEG or ` +
      "make it smaller.");
    return;
  }
  await run(file, 1);
}

async function run(file, scale) {
  state.request?.abort();
  const request = state.request = new AbortController();
  byId("message").hidden = true;
  const isNew = file !== state.file;
  const stop = showBusy(isNew ? `Segmenting ${file.name}` : "Segmenting");
  try {
    const result = await segment(file, scale, request.signal);
    result.stride = state.model.token_stride;
    if (isNew) {
      Object.assign(state, { file, results: new Map(), kept: null });
    }
    state.results.set(scale, result);
    showResult(result);
    if (isNew) scrollTo({ top: 0 });
  } catch (error) {
    if (error.name === "AbortError") return;
    tell(error.message);
    showScale(state.result?.scale ?? 1);
  } finally {
    if (state.request === request) stop();
  }
}

function showResult(result) {
  state.result = result;
  state.token = null;
  byId("welcome").hidden = true;
  byId("result").hidden = false;
  viewer.show(result);
  viewer.mark(null);
  showViews();
  showView(state.view);
  showCommonTokens(result, state.model, pickToken);
  showNoToken();
  showPalettes(state.model, state.palette, choosePalette);
  showScale(result.scale);
  showTimes(state.results, result);
  const [width, height] = result.fileSize;
  byId("download-note").textContent =
    `PNG files of ${width} \u00d7 ${height} pixels, the photo's size. ` +
    "A pixel is the id of its class.";
  keepClass(state.kept);
}

// What is seen

function showViews() {
  const { result } = state;
  byId("views").replaceChildren(...VIEWS.flatMap(({ name, title, after }) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    if (name === "photo") drawPhoto(canvas, result);
    else paint(canvas, name, result, colors());
    const button = make(
      "button", { type: "button", id: `view-${name}` }, canvas, title,
    );
    button.addEventListener("click", () => showView(name));
    if (!after) return [button];
    return [make("span", { className: "arrow" }, after,
      make("small", {}, seconds(result.seconds[after]))), button];
  }));
}

function drawPhoto(canvas, result) {
  const image = new Image();
  image.onload = () => {
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").drawImage(image, 0, 0);
  };
  image.src = result.photo;
}

function showView(name) {
  state.view = name;
  for (const view of VIEWS) {
    byId(`view-${view.name}`)
      .setAttribute("aria-pressed", view.name === name);
  }
  byId("opacity").value = state.opacity[name];
  byId("opacity").disabled = name === "photo";
  showOpacity();
  const { caption } = VIEWS.find((view) => view.name === name);
  byId("caption").replaceChildren(caption);
  if (name === "confidence") byId("caption").append(confidenceScale());
  viewer.showStep(name, colors(), state.opacity[name] / 100);
}

function confidenceScale() {
  const stops = Array.from({ length: 11 }, (_, i) => css(confidenceColor(i / 10)));
  const ramp = make("i", { className: "ramp" });
  ramp.style.background = `linear-gradient(90deg, ${stops.join(",")})`;
  const { confidence } = state.result;
  const mean = confidence.reduce((a, b) => a + b, 0) / confidence.length / 255;
  return make("span", { className: "scale" }, "0 %", ramp,
    `100 %, on average ${percent(mean)}`);
}

function showOpacity() {
  byId("opacity-value").textContent = `${byId("opacity").value} %`;
}

function choosePalette(index) {
  state.palette = index;
  paint(byId("view-mask").querySelector("canvas"), "mask", state.result,
    colors());
  showView(state.view === "maskige" ? "maskige" : "mask");
  keepClass(state.kept);
}

// What is pointed at, kept and picked

function tellPixel(pixel) {
  const { result, model } = state;
  if (!pixel) {
    byId("readout").textContent = "";
    return;
  }
  const { x, y } = pixel;
  const i = y * result.width + x;
  const place = tokenPlace(result, result.stride, x, y);
  const dot = make("span", { className: "swatch" });
  dot.style.background = css(colors()[result.mask[i]]);
  byId("readout").replaceChildren(
    dot, make("strong", {}, model.classes[result.mask[i]]),
    ` ${percent(result.confidence[i] / 255)} sure \u00b7 ` +
    `token ${result.tokens[place]} \u00b7 ${x}, ${y}`,
  );
}

function keepClass(id) {
  state.kept = id;
  if (id !== null) dropToken();
  showLegend(state.result, state.model, colors(), id, {
    onPoint: (pointed) => focusClass(pointed ?? state.kept),
    onKeep: keepClass,
  });
  focusClass(id);
}

function focusClass(id) {
  if (id === null) return focusToken();
  viewer.focus((i) => state.result.mask[i] === id);
}

function focusToken() {
  const { result, token } = state;
  if (token === null) return viewer.focus(null);
  const { tokens, width, stride } = result;
  viewer.focus((i) => tokens[
    tokenPlace(result, stride, i % width, Math.floor(i / width))] === token);
}

function dropToken() {
  state.token = null;
  viewer.mark(null);
  showNoToken();
}

function pickToken(place) {
  if (place === null || place < 0) {
    dropToken();
    return focusClass(state.kept);
  }
  if (state.kept !== null) keepClass(null);
  state.token = state.result.tokens[place];
  viewer.mark(place);
  focusToken();
  showToken(state.result, state.model, place, () => pickToken(null))
    .catch((error) => tell(error.message));
}

// Sizes, downloads, messages

function showScale(scale) {
  byId("scale").value = SCALES.indexOf(scale);
  tellScale();
}

function tellScale() {
  const scale = SCALES[byId("scale").value];
  const [width, height] = state.result?.fullSize ?? [0, 0];
  byId("scale-value").textContent = `${Math.round(100 * scale)} %`;
  byId("scale").setAttribute("aria-valuetext",
    `${Math.round(width * scale)} by ${Math.round(height * scale)} pixels`);
}

async function download(kind) {
  const palette = kind === "colors" ? colors() : null;
  const stop = showBusy("Writing the file");
  try {
    const file = await maskFile(state.result, palette);
    const link = make("a", {
      href: URL.createObjectURL(file),
      download: `${state.file.name.replace(/\.\w+$/, "")}-${kind}.png`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } finally {
    stop();
  }
}

function showBusy(text) {
  const began = performance.now();
  const say = () => {
    const elapsed = Math.round((performance.now() - began) / 1000);
    const wait = elapsed > 1 ? `, ${elapsed} s` : "";
    byId("busy-text").textContent = `${text}${wait} \u2026`;
  };
  say();
  const timer = setInterval(say, 1000);
  document.body.classList.add("waiting");
  byId(byId("result").hidden ? "drop" : "viewer").append(byId("busy"));
  byId("busy").hidden = false;
  return () => {
    clearInterval(timer);
    document.body.classList.remove("waiting");
    byId("busy").hidden = true;
  };
}

function tell(text) {
  byId("message-text").textContent = text;
  byId("message").hidden = false;
}

// Where it begins

function listen() {
  for (const id of ["file", "first-file"]) {
    byId(id).addEventListener("change", (event) => {
      open(event.target.files[0]);
      event.target.value = ""; // so that the same file can be chosen again
    });
  }
  byId("dismiss").addEventListener("click", () => {
    byId("message").hidden = true;
  });
  byId("opacity").addEventListener("input", () => {
    state.opacity[state.view] = Number(byId("opacity").value);
    viewer.setOpacity(state.opacity[state.view] / 100);
    showOpacity();
  });
  byId("scale").addEventListener("input", tellScale);
  byId("scale").addEventListener("change", () => {
    const scale = SCALES[byId("scale").value];
    const known = state.results.get(scale);
    if (known) showResult(known);
    else run(state.file, scale);
  });
  byId("download-ids").addEventListener("click", () => download("ids"));
  byId("download-colors").addEventListener("click", () => download("colors"));
  listenForDrops();
}

function listenForDrops() {
  let depth = 0;
  const show = (change) => {
    depth = Math.max(0, depth + change);
    byId("dropping").hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    show(1);
  });
  addEventListener("dragleave", () => show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-depth);
    open(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => open(event.clipboardData.files[0]));
}

function showExamples(titles) {
  byId("examples").replaceChildren(...titles.map((title, index) => {
    const button = make(
      "button", { type: "button", className: "example" },
      make("img", {
        src: `api/examples/${index}`, alt: "", width: 480, height: 360,
      }),
      title,
    );
    button.addEventListener("click", async () => {
      try {
        open(await fetchExample(index, title));
      } catch (error) {
        tell(error.message);
      }
    });
    return button;
  }));
}

async function start() {
  listen();
  try {
    const model = state.model = await describe();
    byId("model").textContent =
      `${model.title} \u00b7 ${model.classes.length} classes \u00b7 ` +
      `${(model.parameters / 1e6).toFixed(1)} M parameters \u00b7 ` +
      model.backend;
    byId("limits").textContent =
      `JPEG, PNG, WebP, TIFF, GIF or BMP, up to ` +
      `${megabytes(model.max_bytes)} and ${model.max_file_pixels / 1e6} million pixels. Photos above ` +
      `${(model.max_pixels / 1e6).toFixed(1)} million are reduced first.`;
    showExamples(model.examples);
  } catch (error) {
    tell(error.message);
  }
}

start();
