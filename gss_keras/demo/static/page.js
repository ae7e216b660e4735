// State, views and event handlers of the page.

import { byId, make, megabytes, percent, seconds } from "./elements.js";
import { confidenceColor, css, paint, tokenIndex } from "./paint.js";
import { showLegend, showPalettes, showTimes } from "./panels.js";
import { maskFile } from "./png.js";
import { describe, fetchExample, segment } from "./server.js";
import { showCommonTokens, showNoToken, showToken } from "./token_card.js";
import { Viewer } from "./viewer.js";

const SCALES = [0.25, 1 / 3, 0.5, 0.75, 1];
// The views in the order of the method; `step` is the step that leads to one.
const VIEWS = [
  { name: "photo", title: "Photo", caption: "The input photo." },
  { name: "tokens", title: "Tokens", step: "prior", opacity: 100,
    caption: "The tokens that the prior predicts, one per square of pixels. " +
      "Colors only distinguish tokens." },
  { name: "maskige", title: "Maskige", step: "decoder", opacity: 100,
    caption: "The maskige, decoded from the tokens: a mask as an image." },
  { name: "mask", title: "Mask", step: "inverse", opacity: 60,
    caption: "The class of each pixel, read from the maskige's colors." },
  { name: "confidence", title: "Confidence", opacity: 90,
    caption: "The predicted probability of each pixel's class." },
];
const state = {
  model: null, file: null, results: new Map(), result: null, view: "mask",
  palette: 0, selectedClass: null, token: null, request: null,
  opacity: Object.fromEntries(VIEWS.map((v) => [v.name, v.opacity ?? 100])),
};

const viewer = new Viewer({ onPoint: showPixel, onPick: selectToken });
const colors = () => state.model.palettes[state.palette].colors;

// Requests

async function open(file) {
  if (!file) return;
  const { max_bytes: maxBytes } = state.model;
  if (file.size > maxBytes) {
    showMessage(`A file must have at most ${megabytes(maxBytes)}. Received: ` +
      `${file.name}, ${megabytes(file.size)}. Save the photo as JPEG or ` +
      "downscale it.");
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
      Object.assign(state, { file, results: new Map(), selectedClass: null });
    }
    state.results.set(scale, result);
    showResult(result);
    if (isNew) scrollTo({ top: 0 });
  } catch (error) {
    if (error.name === "AbortError") return;
    showMessage(error.message);
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
  showCommonTokens(result, state.model, selectToken);
  showNoToken();
  showPalettes(state.model, state.palette, choosePalette);
  showScale(result.scale);
  showTimes(state.results, result);
  const [width, height] = result.fileSize;
  byId("download-note").textContent =
    `PNG files of ${width} \u00d7 ${height} pixels, the photo's size. ` +
    "Pixel values are class ids.";
  selectClass(state.selectedClass);
}

// Views

function showViews() {
  const { result } = state;
  byId("views").replaceChildren(...VIEWS.flatMap(({ name, title, step }) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    if (name === "photo") drawPhoto(canvas, result);
    else paint(canvas, name, result, colors());
    const button = make(
      "button", { type: "button", id: `view-${name}` }, canvas, title,
    );
    button.addEventListener("click", () => showView(name));
    if (!step) return [button];
    return [make("span", { className: "arrow" }, step,
      make("small", {}, seconds(result.seconds[step]))), button];
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
    `100 %, mean ${percent(mean)}`);
}

function showOpacity() {
  byId("opacity-value").textContent = `${byId("opacity").value} %`;
}

function choosePalette(index) {
  state.palette = index;
  paint(byId("view-mask").querySelector("canvas"), "mask", state.result,
    colors());
  showView(state.view === "maskige" ? "maskige" : "mask");
  selectClass(state.selectedClass);
}

// Hovered pixel, selected class and selected token

function showPixel(pixel) {
  const { result, model } = state;
  if (!pixel) {
    byId("readout").textContent = "";
    return;
  }
  const { x, y } = pixel;
  const i = y * result.width + x;
  const index = tokenIndex(result, result.stride, x, y);
  const dot = make("span", { className: "swatch" });
  dot.style.background = css(colors()[result.mask[i]]);
  byId("readout").replaceChildren(
    dot, make("strong", {}, model.classes[result.mask[i]]),
    ` \u00b7 confidence ${percent(result.confidence[i] / 255)} \u00b7 ` +
    `token ${result.tokens[index]} \u00b7 ${x}, ${y}`,
  );
}

function selectClass(id) {
  state.selectedClass = id;
  if (id !== null) clearToken();
  showLegend(state.result, state.model, colors(), id, {
    onPoint: (hovered) => highlightClass(hovered ?? state.selectedClass),
    onSelect: selectClass,
  });
  highlightClass(id);
}

function highlightClass(id) {
  if (id === null) return highlightToken();
  viewer.highlight((i) => state.result.mask[i] === id);
}

function highlightToken() {
  const { result, token } = state;
  if (token === null) return viewer.highlight(null);
  const { tokens, width, stride } = result;
  viewer.highlight((i) => tokens[
    tokenIndex(result, stride, i % width, Math.floor(i / width))] === token);
}

function clearToken() {
  state.token = null;
  viewer.mark(null);
  showNoToken();
}

function selectToken(index) {
  if (index === null || index < 0) {
    clearToken();
    return highlightClass(state.selectedClass);
  }
  if (state.selectedClass !== null) selectClass(null);
  state.token = state.result.tokens[index];
  viewer.mark(index);
  highlightToken();
  showToken(state.result, state.model, index, () => selectToken(null))
    .catch((error) => showMessage(error.message));
}

// Resolution, downloads, messages

function showScale(scale) {
  byId("scale").value = SCALES.indexOf(scale);
  showScaleValue();
}

function showScaleValue() {
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
  const start = performance.now();
  const update = () => {
    const elapsed = Math.round((performance.now() - start) / 1000);
    const suffix = elapsed > 1 ? `, ${elapsed} s` : "";
    byId("busy-text").textContent = `${text}${suffix} \u2026`;
  };
  update();
  const timer = setInterval(update, 1000);
  document.body.classList.add("waiting");
  byId(byId("result").hidden ? "drop" : "viewer").append(byId("busy"));
  byId("busy").hidden = false;
  return () => {
    clearInterval(timer);
    document.body.classList.remove("waiting");
    byId("busy").hidden = true;
  };
}

function showMessage(text) {
  byId("message-text").textContent = text;
  byId("message").hidden = false;
}

// Event listeners and startup

function listen() {
  for (const id of ["file", "first-file"]) {
    byId(id).addEventListener("change", (event) => {
      open(event.target.files[0]);
      event.target.value = ""; // so that the same file can be selected again
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
  byId("scale").addEventListener("input", showScaleValue);
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
        showMessage(error.message);
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
      `${megabytes(model.max_bytes)} and ${model.max_file_pixels / 1e6} ` +
      "million pixels. Photos of more than " +
      `${(model.max_pixels / 1e6).toFixed(1)} million pixels are downscaled.`;
    showExamples(model.examples);
  } catch (error) {
    showMessage(error.message);
  }
}

start();
