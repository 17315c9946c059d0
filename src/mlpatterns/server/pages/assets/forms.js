"use strict";
// Sends the forms of the page. Addresses are relative to the page, so that the prefix of a mount needs no setting.
(() => {
  const MOST = 100000;  // the most characters of an answer that are shown
  const SHOWN = 4000;  // the most characters of a body in its curl command
  const STAND_INS = { text: "…", any: "…", number: "0", json: "{}" };  // placeholders in the command for empty fields
  const here = new URL(location.href);
  if ("atRoot" in document.body.dataset && !here.pathname.endsWith("/")) here.pathname += "/";
  const base = new URL(".", here);

  for (const link of document.querySelectorAll("a[data-path]")) link.href = new URL(link.dataset.path, base).href;
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  for (const form of document.querySelectorAll("form[data-path]")) prepare(form);
  const tokens = document.querySelectorAll("[data-token]");  // all fields for the admin token always have the same value
  for (const field of tokens) field.addEventListener("input", () => tokens.forEach((other) => { other.value = field.value; }));

  function prepare(form) {
    const on = (selector, event, work) => form.querySelectorAll(selector).forEach((part) => part.addEventListener(event, () => work(part)));
    on("select[data-fills]", "change", (chooser) => { document.getElementById(chooser.dataset.fills).value = chooser.value; });
    on("select[data-routes]", "change", (chooser) => route(form, chooser.selectedOptions[0]));
    on("input[type=file]", "change", (input) => read(form, input));
    form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
    });
    for (const event of ["input", "change"]) form.addEventListener(event, () => command(form));
    command(form);
  }

  // ---- the request ----

  function route(form, chosen) {
    const area = form.querySelector("[data-body]"), kind = chosen.dataset.kind;
    form.dataset.path = chosen.value;
    form.dataset.method = chosen.dataset.method;
    for (const field of form.querySelectorAll("[data-parameter]")) field.parentElement.hidden = !chosen.value.includes(`{${field.dataset.parameter}}`);
    if (area && kind !== area.dataset.kind) {  // another kind of body: keep the old text until its kind is chosen again
      area.dataset[`of_${area.dataset.kind}`] = area.value;
      area.value = area.dataset[`of_${kind}`] ?? chosen.dataset.begin;
      area.dataset.kind = kind;
    }
  }

  function read(form, input) {
    const file = input.files[0], body = form.querySelector("[data-body]"), picture = form.querySelector("img");
    if (!file) return;
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      body.value = JSON.stringify({ data: reader.result.slice(reader.result.indexOf(",") + 1) });
      picture.hidden = false;
      picture.src = reader.result;
      picture.alt = file.name;
    });
    reader.addEventListener("error", () => { input.value = ""; show(form, [line("p", `${file.name} cannot be read.`, "bad")]); });
    reader.readAsDataURL(file);
  }

  function address(form, standIn = false) {
    let path = form.dataset.path;
    const query = new URLSearchParams();
    for (const input of form.querySelectorAll("[data-parameter]")) {
      const name = input.dataset.parameter, several = input.dataset.kind === "list";
      if (input.dataset.in === "path") path = path.replace(`{${name}}`, input.value || !standIn ? encodeURIComponent(input.value) : name);
      else if (input.dataset.in === "query") {
        for (const value of several ? input.value.split("\n") : [input.value]) if (value) query.append(name, value);
      }
    }
    const url = new URL("./" + path, base);  // "./", because the part before a colon would be read as a scheme
    url.search = query;
    return url;
  }

  // The body as text: the content of the text area, or a JSON object of the fields that are not empty. Null without a body.
  function bodyOf(form, standIn = false) {
    const area = form.querySelector("[data-body]"), fields = [...form.querySelectorAll("[data-in=body]")];
    if (form.dataset.method === "GET") return null;
    if (area) return area.value;
    if (!fields.length) return null;
    const said = fields.filter((field) => field.value || "needed" in field.dataset);
    return `{${said.map((field) => `${JSON.stringify(field.dataset.parameter)}: ${valueOf(field, standIn)}`).join(", ")}}`;
  }

  function valueOf({ value, required, dataset: { kind } }, standIn) {
    const text = value || (required && standIn ? STAND_INS[kind] : "");
    return kind === "text" || (kind === "any" && !isJson(text)) ? JSON.stringify(text) : text;  // as typed, because JSON.parse rounds large numbers
  }

  function isJson(text) {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }

  function request(form) {
    // No cache mode is set: "no-store" would send a header that makes a PredictionCache skip its entries.
    const options = { method: form.dataset.method, headers: {}, credentials: "same-origin" }, body = bodyOf(form);
    for (const [field, header] of [[document.getElementById("key"), "x-api-key"], [form.querySelector("[data-token]"), "x-admin-token"]]) {
      if (field && field.value) options.headers[header] = field.value;
    }
    if (body !== null) {
      options.headers["content-type"] = "application/json";
      options.body = body;
    }
    return options;
  }

  // ---- the same request as a shell command ----

  function command(form) {
    const shown = form.querySelector(".curl"), file = form.querySelector("input[type=file]");
    const method = form.dataset.method, body = bodyOf(form, true) ?? (method === "POST" ? "" : null);
    const words = [`curl ${["GET", "POST"].includes(method) ? "" : `-X ${method} `}${quote(address(form, true).href)}`];
    for (const header of form.dataset.credentials?.split("\n") ?? []) words.push(`-H "${header}"`);
    if (body !== null) {
      words.push("-H 'content-type: application/json'");
      if (file) {
        const name = quote(file.files[0]?.name ?? "picture.png");
        words.unshift(`(printf '{"data": "'; base64 < ${name} | tr -d '\\n'; printf '"}') |`);
      }
      words.push(file ? "-d @-" : body.length <= SHOWN ? `-d ${quote(body)}` : "-d @body.json");
    }
    shown.textContent = words.join(" ");
  }

  function quote(text) {
    return /^[\w.\-/]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  }

  async function copy(button) {
    const shown = button.closest(".command").querySelector("pre"), before = button.textContent;
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = "Copied";
    } catch {  // the page is neither on https nor on localhost, or the browser refuses: the user copies the selected text
      getSelection().selectAllChildren(shown);
      button.textContent = "Ctrl+C";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // ---- the answer ----

  async function send(form) {
    const out = form.querySelector(".answer"), button = form.querySelector("[type=submit]"), focused = document.activeElement;
    button.disabled = true;
    out.classList.add("busy");
    const began = performance.now();
    try {
      const response = await fetch(address(form), request(form));
      const text = await response.text();
      show(form, answered(response, text, performance.now() - began));
    } catch (error) {
      show(form, [line("p", `No answer: ${error.message}`, "bad")]);
    } finally {
      out.classList.remove("busy");
      button.disabled = false;
      if (focused === button) button.focus();
    }
  }

  function show(form, parts) {
    const out = form.querySelector(".answer");
    out.hidden = false;
    out.replaceChildren(...parts);
  }

  function answered(response, text, milliseconds) {
    const status = `${response.status} ${response.statusText} in ${milliseconds.toFixed(1)} ms`;
    const body = text.length > MOST ? text.slice(0, MOST) + "\n…" : pretty(text);
    const ours = ([name]) => !name.startsWith("x-mlp-");  // false for our headers, because false sorts before true
    const headers = [...response.headers].sort((one, other) => ours(one) - ours(other));
    return [
      line("p", status, response.ok ? "good" : "bad"),
      ...(text ? [line("pre", body, "body")] : []),
      line("pre", headers.map(([name, value]) => `${name}: ${value}`).join("\n"), "quiet"),
    ];
  }

  function line(tag, text, kind) {
    const made = document.createElement(tag);
    made.className = kind;
    made.textContent = text;
    if (tag === "pre") made.tabIndex = 0;
    return made;
  }

  // Formats JSON on several lines. It keeps each number as received, because JSON.parse would round large numbers.
  function pretty(text) {
    if (!isJson(text)) return text;
    const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g);
    let at = 0;
    const value = (indent) => {
      const token = tokens[at++], closing = { "[": "]", "{": "}" }[token], inner = indent + "  ", items = [];
      if (!closing) return token;
      while (tokens[at] !== closing) {
        if (tokens[at] === ",") at++;
        let item = value(inner);
        if (tokens[at] === ":" && at++) item += ": " + value(inner);
        items.push(item);
      }
      at++;
      const short = token + items.join(", ") + closing;
      if (indent.length + short.length < 60 && !short.includes("\n")) return short;
      return `${token}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${closing}`;
    };
    return value("");
  }
})();
