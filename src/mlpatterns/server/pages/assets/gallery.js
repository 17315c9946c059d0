"use strict";
// Finds the systems that contain all words of the search field, as `mlpatterns find` does. If there are none, it
// suggests other words.
(() => {
  const SUGGESTED = 3;
  const field = document.getElementById("find"), said = document.querySelector(".found");
  const fold = (text) => text.normalize("NFKC").toLowerCase().replace(/[_-]+/g, " ");
  const split = (text) => fold(text).split(/\s+/).filter(Boolean);
  const systems = [...document.querySelectorAll("[data-find]")].map((shown) => ({ shown, text: fold(shown.dataset.find) }));
  const known = [...new Set(systems.flatMap((system) => system.text.match(/[\p{L}\p{N}]{3,}/gu) ?? []))];

  // On a phone the open list of systems would push the first system off the screen.
  if (matchMedia("(max-width: 40rem)").matches) document.querySelector(".systems").open = false;

  field.addEventListener("input", () => {
    const words = split(field.value);
    for (const { shown, text } of systems) shown.hidden = !words.every((word) => text.includes(word));
    for (const section of document.querySelectorAll("main > section")) section.hidden = !section.querySelector("[data-find]:not([hidden])");
    const count = systems.filter(({ shown }) => !shown.hidden).length;
    said.replaceChildren(words.length ? `${count} of ${systems.length}` : "", ...(count ? [] : tips(words)));
  });

  function tips(words) {
    const near = words.flatMap(nearest).slice(0, SUGGESTED), examples = field.dataset.examples.split(" ");
    return [near.length ? ". Did you mean " : ". Try ", ...(near.length ? near : examples).flatMap((word, place) => [place ? ", " : "", tip(word)])];
  }

  function tip(word) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tip";
    button.textContent = word;
    button.addEventListener("click", () => {
      field.value = word;
      field.dispatchEvent(new Event("input"));
      field.focus();
    });
    return button;
  }

  // The known words with the smallest edit distance to this word; none if a system contains the word.
  function nearest(word) {
    if (systems.some(({ text }) => text.includes(word))) return [];
    const most = Math.floor(word.length / 3);
    const found = known.map((other) => [distance(word, other, most), other]).filter(([far]) => far <= most);
    return found.sort(([one], [other]) => one - other).map(([, other]) => other);
  }

  // The edit distance: the number of letters to replace, delete, insert or swap (optimal string alignment).
  function distance(one, other, most) {
    if (Math.abs(one.length - other.length) > most) return Infinity;
    let before = [], row = Array.from({ length: other.length + 1 }, (_, place) => place);
    for (let at = 0; at < one.length; at++) {
      const next = [at + 1];
      for (let to = 0; to < other.length; to++) {
        const swapped = one[at] === other[to - 1] && one[at - 1] === other[to] ? before[to - 1] + 1 : Infinity;
        next.push(Math.min(next[to] + 1, row[to + 1] + 1, row[to] + (one[at] !== other[to]), swapped));
      }
      [before, row] = [row, next];
    }
    return row[other.length];
  }
})();
