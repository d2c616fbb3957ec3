// The explorer: which views are given decides which cells of the sheets are shown.
const runs = JSON.parse(document.getElementById("explored").textContent);
const explorer = document.getElementById("explorer");
const side = 96; // pixels of a cell's longer side, at least

function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function choice(kind, name, value, text, checked) {
  const label = make("label");
  const input = make("input", "", { type: kind, name, value });
  input.checked = checked;
  label.append(input, text);
  return label;
}

function group(legend, labels) {
  const fieldset = make("fieldset");
  const choices = make("div", "", { class: "choices" });
  choices.append(...labels);
  fieldset.append(make("legend", legend), choices);
  return fieldset;
}

function checked(name) {
  return [...explorer.querySelectorAll(`input[name="${name}"]:checked`)].map((x) => x.value);
}

// A cell of a sheet: a picture, and a text or a sound where the view is one.
function cell(run, view, row, column, caption, kind) {
  const { cell: [tall, wide], columns, rows, sheet } = run.views[view];
  const across = Object.values(columns).flat().length;
  const down = rows.length;
  const at = (place, count) => `${count > 1 ? (100 * place) / (count - 1) : 0}%`;
  const scale = Math.max(1, Math.round(side / Math.max(tall, wide)));
  const figure = make("figure", "", { class: `cell ${kind}` });
  const told = rows[row][column] || {};
  const said = `${view}, ${caption}${told.text ? `: ${told.text}` : ""}`;
  const pixels = make("div", "", { role: "img", "aria-label": said, class: `pixels ${sheet}` });
  Object.assign(pixels.style, {
    width: `min(${wide * scale}px, ${20 * Math.max(1, wide / tall)}vw)`,
    aspectRatio: `${wide} / ${tall}`,
    backgroundSize: `${100 * across}% ${100 * down}%`,
    backgroundPosition: `${at(column, across)} ${at(row, down)}`,
  });
  if (!told.text) figure.append(pixels);
  else figure.append(make("p", told.text));
  if (told.sound) {
    figure.append(make("audio", "", { controls: "", src: told.sound, "aria-label": said }));
  }
  figure.append(make("figcaption", caption));
  return figure;
}

function show() {
  const run = runs[Number(explorer.dataset.run)];
  const views = Object.keys(run.views);
  const given = checked("given");
  const row = Number(checked("tuple")[0]);
  const subset = given.join("+");
  const drawn = given.length ? [[subset, ""]] : run.priors.map((p) => [`prior ${p}`, p]);
  const known = !given.length || given.length === views.length || run.given.includes(subset);
  document.getElementById("told").textContent =
    given.length === views.length ? "All views are given: nothing is left to generate."
    : !known ? `Nothing was drawn given ${given.join(", ")} when the run was evaluated.`
    : given.length ? `Given ${given.join(", ")}: the truth beside draws of the others.`
    : "Nothing is given: draws of all views together, from the prior.";
  document.getElementById("views").replaceChildren(...views.map((view) => {
    const isGiven = given.includes(view);
    const card = make("article", "", { class: isGiven ? "view given" : "view" });
    const head = make("h3", view);
    head.append(make("span", isGiven ? "given" : "generated"));
    const cells = make("div", "", { class: "cells" });
    const places = run.views[view].columns;
    if (given.length) {
      cells.append(cell(run, view, row, places.truth[0], isGiven ? "given" : "truth",
        isGiven ? "given" : "truth"));
    }
    if (!isGiven) {
      for (const [name, prior] of drawn) {
        (places[name] || []).forEach((column, k) => {
          const caption = prior ? `${prior}, draw ${k + 1}` : `draw ${k + 1}`;
          cells.append(cell(run, view, row, column, caption, "draw"));
        });
      }
    }
    card.append(head, cells);
    return card;
  }));
}

function open(number) {
  const run = runs[number];
  explorer.dataset.run = number;
  const first = (run.given[0] || "").split("+");
  const views = Object.keys(run.views);
  document.getElementById("choose").replaceChildren(
    group("Given", views.map((v) => choice("checkbox", "given", v, v, first.includes(v)))),
    group("Test tuple", run.tuples.map((t, i) => choice("radio", "tuple", i,
      run.labels ? `${t} (class ${run.labels[i]})` : `${t}`, i === 0))),
  );
  show();
}

if (explorer) {
  const of = document.getElementById("run");
  document.getElementById("choose").addEventListener("change", show);
  if (of) of.addEventListener("change", () => open(Number(of.value)));
  open(of ? Number(of.value) : 0);
}
