"use strict";
// Sends the forms of the page, with addresses relative to where the page is, so that a mount prefix needs no setting.
(() => {
  const here = new URL(location.href);
  if ("atRoot" in document.body.dataset && !here.pathname.endsWith("/")) here.pathname += "/";
  const base = new URL(".", here);
  const shown = base.href.replace(/\/$/, "").replaceAll("'", "%27");

  for (const span of document.querySelectorAll(".origin")) span.textContent = shown;
  for (const link of document.querySelectorAll("a[data-path]")) link.href = new URL(link.dataset.path, base).href;
  for (const chooser of document.querySelectorAll("select[data-fills]")) {
    chooser.addEventListener("change", () => { document.getElementById(chooser.dataset.fills).value = chooser.value; });
  }
  for (const form of document.querySelectorAll("form[data-path]")) {
    form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
  }

  async function send(form) {
    const out = form.querySelector(".answer"), button = form.querySelector("button");
    const began = performance.now();
    button.disabled = true;
    out.hidden = false;
    out.replaceChildren("…");
    try {
      const response = await fetch(address(form), request(form));
      const text = await response.text();
      show(out, response, text, performance.now() - began);
    } catch (error) {
      out.replaceChildren(line("p", `No answer: ${error.message}`, "bad"));
    } finally {
      button.disabled = false;
      button.focus();
    }
  }

  function address(form) {
    let path = form.dataset.path;
    const query = new URLSearchParams();
    for (const input of form.querySelectorAll("[data-parameter]")) {
      if (input.dataset.in === "path") path = path.replace(`{${input.dataset.parameter}}`, encodeURIComponent(input.value));
      else if (input.value) query.append(input.dataset.parameter, input.value);
    }
    const url = new URL("./" + path, base);  // "./" so that a path with a colon is no scheme
    url.search = query;
    return url;
  }

  function request(form) {
    const options = { method: form.dataset.method, headers: {}, credentials: "same-origin", cache: "no-store" };
    const area = form.querySelector("[data-body]");
    for (const [id, header] of [["key", "x-api-key"], ["token", "x-admin-token"]]) {
      const field = document.getElementById(id);
      if (field && field.value) options.headers[header] = field.value;
    }
    if (area) {
      options.headers["content-type"] = "application/json";
      options.body = area.value;
    }
    return options;
  }

  function show(out, response, text, milliseconds) {
    const status = `${response.status} ${response.statusText} in ${milliseconds.toFixed(1)} ms`;
    const headers = [...response.headers].filter(([name]) => name.startsWith("x-mlp-") || name === "retry-after");
    const parts = [line("p", status, response.ok ? "good" : "bad")];
    if (headers.length) parts.push(line("pre", headers.map(([name, value]) => `${name}: ${value}`).join("\n"), "quiet"));
    parts.push(line("pre", text.length > 100000 ? text.slice(0, 100000) + "\n…" : text, "body"));
    out.replaceChildren(...parts);
  }

  function line(tag, text, kind) {
    const made = document.createElement(tag);
    made.className = kind;
    made.textContent = text;
    if (tag === "pre") made.tabIndex = 0;
    return made;
  }
})();
