// The page: camera and drawing pad on one side, the answers of the models on the other.
import { digitOn } from "./ink.js";
import { best, loadModels } from "./models.js";

const SIZE = 160; // side in pixels of the square to which a frame is scaled
const PEN = 42; // pixels of the pad: about as thick as the strokes that the models were trained on
const at = (id) => document.getElementById(id);
const look = new OffscreenCanvas(SIZE, SIZE).getContext("2d", { willReadFrequently: true });
const pad = at("pad").getContext("2d", { willReadFrequently: true });
const state = { models: [], side: 8, stream: null, facing: "environment", busy: false, frames: 0 };

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} is missing`);
  return answer.arrayBuffer();
}

async function start() {
  const site = JSON.parse(new TextDecoder().decode(await read("site.json")));
  state.models = await loadModels(site, read);
  state.side = site.side;
  at("seen").width = at("seen").height = state.side;
  at("answers").replaceChildren(...state.models.map(({ said }) => answerOf(said)));
  at("note").textContent = "ready";
  document.body.dataset.ready = "yes";
}

// ---- answers of the models ----

function answerOf(said) {
  const answer = document.createElement("div");
  answer.className = "answer";
  answer.id = `answer-${said.key}`;
  const title = document.createElement("h3");
  title.append(`${said.title}`, Object.assign(document.createElement("span"), { className: "ms" }));
  answer.append(title, document.createElement("ol"));
  return answer;
}

function tell(model, { probabilities, ms }) {
  const answer = at(`answer-${model.said.key}`);
  answer.querySelector(".ms").textContent = `${ms.toFixed(1)} ms`;
  answer.querySelector("ol").replaceChildren(...best(model.said.labels, probabilities).map(({ label, share }) => {
    const line = document.createElement("li");
    const bar = Object.assign(document.createElement("meter"), { min: 0, max: 1, value: share });
    bar.setAttribute("aria-label", `${label}: ${(100 * share).toFixed(0)} percent`);
    const [name, number] = [document.createElement("span"), document.createElement("span")];
    name.textContent = label;
    number.textContent = `${(100 * share).toFixed(0)} %`;
    number.className = "share";
    line.append(name, bar, number);
    return line;
  }));
}

// Sends one picture to all models. While they are busy, other pictures are dropped.
async function classify(context, size) {
  if (state.busy || !state.models.length) return;
  state.busy = true;
  try {
    const pixels = digitOn(context.getImageData(0, 0, size, size).data, size, size, state.side);
    if (!pixels) {
      at("note").textContent = "no digit found";
      return;
    }
    show(pixels);
    for (const model of state.models) tell(model, await model.classify(pixels));
    state.frames++;
    at("note").textContent = "";
    document.body.dataset.frames = state.frames;
  } finally {
    state.busy = false;
  }
}

function show(pixels) {
  const context = at("seen").getContext("2d");
  const image = context.createImageData(state.side, state.side);
  pixels.forEach((ink, index) => {
    image.data.fill(255 * (1 - ink), 4 * index, 4 * index + 3);
    image.data[4 * index + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

// ---- camera ----

async function openCamera() {
  stopCamera();
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: state.facing }, audio: false });
  } catch (error) {
    at("note").textContent = navigator.mediaDevices ? `no camera: ${error.message}` : "a camera needs https or localhost";
    return;
  }
  at("video").srcObject = state.stream;
  await at("video").play();
  at("camera").textContent = "Stop the camera";
  at("switch").disabled = false;
  watch(state.stream);
}

function stopCamera() {
  if (!state.stream) return;
  for (const track of state.stream.getTracks()) track.stop();
  state.stream = null;
  at("video").srcObject = null;
  at("camera").textContent = "Start the camera";
  at("switch").disabled = true;
}

// Reads frames as fast as the device can, or at most one frame per chosen interval, which saves battery.
async function watch(stream) {
  while (state.stream === stream) {
    const began = performance.now();
    await frame();
    const pause = Number(at("pace").value) - (performance.now() - began);
    await new Promise((go) => (pause > 0 ? setTimeout(go, pause) : requestAnimationFrame(go)));
  }
}

// The centre of the picture, inside the dashed frame.
async function frame() {
  const video = at("video");
  const { videoWidth: width, videoHeight: height } = video;
  if (!width) return;
  const part = 0.8 * Math.min(width, height);
  look.drawImage(video, (width - part) / 2, (height - part) / 2, part, part, 0, 0, SIZE, SIZE);
  await classify(look, SIZE);
}

at("camera").addEventListener("click", () => (state.stream ? stopCamera() : openCamera()));
at("switch").addEventListener("click", () => {
  state.facing = state.facing === "environment" ? "user" : "environment";
  openCamera();
});
document.addEventListener("visibilitychange", () => { if (document.hidden) stopCamera(); });

// ---- pad ----

function clear() {
  pad.fillStyle = "#fff";
  pad.fillRect(0, 0, pad.canvas.width, pad.canvas.height);
}

function point(event) {
  const area = pad.canvas.getBoundingClientRect();
  const scale = pad.canvas.width / area.width;
  return [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
}

pad.canvas.addEventListener("pointerdown", (event) => {
  pad.canvas.setPointerCapture(event.pointerId);
  Object.assign(pad, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  pad.beginPath();
  pad.moveTo(...point(event));
  pad.lineTo(...point(event));
  pad.stroke();
});
pad.canvas.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  pad.lineTo(...point(event));
  pad.stroke();
});
pad.canvas.addEventListener("pointerup", () => classify(pad, pad.canvas.width));
at("clear").addEventListener("click", clear);
clear();

// ---- offline ----

async function keepOffline() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  at("offline").textContent = "The page now works offline.";
  document.body.dataset.kept = "yes";
}

start().catch((error) => { at("note").textContent = error.message; });
keepOffline().catch(() => { at("offline").textContent = "This browser cannot keep the page for offline use."; });
window.classifyPixels = (pixels) => Promise.all(state.models.map((model) => model.classify(Float32Array.from(pixels))));
