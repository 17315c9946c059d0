// The models of the site. The SHA-256 of each model is checked before its use.
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more would need headers that not every static host can send

export class Model {
  constructor(said, session) { this.said = said; this.session = session; }

  // Returns the probability of each label, and the duration in milliseconds.
  async classify(pixels) {
    const began = performance.now();
    const tensor = new ort.Tensor("float32", pixels, this.said.shape);
    const found = await this.session.run({ [this.said.input]: tensor }, [this.said.output]);
    return { probabilities: Array.from(found[this.said.output].data), ms: performance.now() - began };
  }
}

// `read` returns the bytes of a file of the site.
export async function loadModels(site, read) {
  const models = [];
  for (const said of site.models) {
    const bytes = await read(said.file);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== site.files[said.file]) throw new Error(`${said.file} is damaged: load the page again`);
    const session = await ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"] });
    models.push(new Model(said, session));
  }
  return models;
}

// The `count` most probable labels, the first one first.
export function best(labels, probabilities, count = 3) {
  return probabilities.map((share, index) => ({ label: labels[index], share }))
    .sort((a, b) => b.share - a.share).slice(0, count);
}
