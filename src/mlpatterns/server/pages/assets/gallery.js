"use strict";
// Finds systems by what is typed: all words must occur, as in `mlpatterns find`.
(() => {
  const field = document.getElementById("find"), said = document.querySelector(".found");
  const systems = [...document.querySelectorAll("[data-find]")];
  const fold = (text) => text.normalize("NFKC").toLowerCase().replace(/[_-]+/g, " ");

  field.addEventListener("input", () => {
    const words = fold(field.value).split(/\s+/).filter(Boolean);
    for (const system of systems) system.hidden = !words.every((word) => fold(system.dataset.find).includes(word));
    for (const section of document.querySelectorAll("main > section")) section.hidden = !section.querySelector("[data-find]:not([hidden])");
    const count = systems.filter((system) => !system.hidden).length;
    said.textContent = words.length ? `${count} of ${systems.length}` : "";
  });
})();
