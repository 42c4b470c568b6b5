// What the page's reader moves. All images are there, side by side on one sheet for each widget; nothing is computed
// but which of them to show. See pmodel/figures/widget.py for what `values` holds.
"use strict";
(() => {
  const SIDE = 224; // of a tile, in pixels, at least about
  const PLANE = 440;
  const MOST_NAMED = 25; // classes of a legend: there are no more colours
  const STEP = 700; // milliseconds that an epoch is shown

  const all = JSON.parse(document.getElementById("widgets").textContent);
  const section = document.getElementById("play");
  const [choices, words, stage] = ["choices", "explanation", "stage"].map((name) => section.querySelector(`.${name}`));

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("aria") || name === "role") element.setAttribute(name, value);
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element[name] = value;
    }
    element.append(...children);
    return element;
  }

  const press = (button, pressed) => button.setAttribute("aria-pressed", pressed);
  const written = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

  // A tile of a sheet, each of its pixels a square; `show` puts another one in its place.
  function tile({ sheet, tiles }, name, side = SIDE) {
    const scale = Math.max(1, Math.round(side / Math.max(tiles.height, tiles.width / 2)));
    const canvas = make("canvas", { width: tiles.width, height: tiles.height, role: "img", "aria-label": name });
    canvas.style.width = `${scale * tiles.width}px`;
    const context = canvas.getContext("2d");
    canvas.show = (i) => {
      const [x, y] = [i % tiles.columns, Math.floor(i / tiles.columns)];
      const from = [x * tiles.width, y * tiles.height, tiles.width, tiles.height];
      context.drawImage(sheet, ...from, 0, 0, tiles.width, tiles.height);
      canvas.dataset.tile = i;
    };
    return canvas;
  }

  const captioned = (canvas, caption) =>
    make("figure", {}, make("figcaption", { "aria-live": "polite" }, caption), canvas);

  function slider(name, count, start, text, moved) {
    const output = make("output");
    const input = make("input", { type: "range", min: 0, max: count - 1, "aria-label": name });
    input.show = (i) => {
      input.value = i;
      output.textContent = text(i);
      input.setAttribute("aria-valuetext", text(i));
    };
    input.addEventListener("input", () => {
      input.show(Number(input.value));
      moved(Number(input.value));
    });
    input.show(start);
    return [input, make("label", { className: "slider" }, make("span", {}, name), input, output)];
  }

  // What stays when another model is shown.
  const kept = {};

  const kinds = {
    plane(widget) {
      const { points, groups, names, colors, box, axes, lattice } = widget.values;
      const [left, right, bottom, top] = box;
      const example = tile(widget, "the example of the nearest code", 140);
      const decoded = lattice ? tile(widget, "what is decoded at the cross") : null;
      const [about, where] = [make("span"), make("span")];
      const scale = 2; // for sharp dots
      const about_it = { role: "application", "aria-label": `codes: ${axes.join(", ")}; arrow keys move` };
      const size = { width: scale * PLANE, height: scale * PLANE };
      const canvas = make("canvas", { ...size, tabIndex: 0, className: "plane", ...about_it });
      const context = canvas.getContext("2d");
      const places = points.map(([x, y]) => [PLANE * x, PLANE * (1 - y)]);
      let nearest = 0;
      let cross = null; // in the middle of its cell
      let at = null;

      function draw() {
        context.setTransform(scale, 0, 0, scale, 0, 0);
        context.fillStyle = "#ffffff";
        context.fillRect(0, 0, PLANE, PLANE);
        places.forEach(([x, y], i) => {
          context.beginPath();
          context.arc(x, y, 3, 0, 7);
          context.globalAlpha = 0.7;
          context.fillStyle = colors[groups[i]];
          context.fill();
        });
        context.globalAlpha = 1;
        context.strokeStyle = "#000000";
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(...places[nearest], 6, 0, 7);
        if (lattice) {
          const [x, y] = cross;
          context.moveTo(x - 9, y);
          context.lineTo(x + 9, y);
          context.moveTo(x, y - 9);
          context.lineTo(x, y + 9);
        }
        context.stroke();
      }

      function point([x, y]) {
        const far = places.map(([u, v]) => (u - x) ** 2 + (v - y) ** 2);
        nearest = far.indexOf(Math.min(...far));
        example.show(nearest);
        about.textContent = "example of the nearest dot" + (names.length > 1 ? `: ${names[groups[nearest]]}` : "");
        draw();
      }

      function move(place) {
        at = place.map((v) => Math.min(PLANE - 1, Math.max(0, v)));
        if (lattice) {
          const [column, row] = at.map((v) => Math.floor((v / PLANE) * lattice));
          cross = [column, row].map((i) => ((i + 0.5) * PLANE) / lattice);
          decoded.show(points.length + row * lattice + column);
          const value = [left + (cross[0] / PLANE) * (right - left), top - (cross[1] / PLANE) * (top - bottom)];
          where.textContent = `decoded at (${value.map(written).join(", ")})`;
        }
        point(at);
      }

      function place(event) {
        const size = canvas.getBoundingClientRect();
        return [event.clientX - size.left, event.clientY - size.top].map((v) => (v * PLANE) / size.width);
      }
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        move(place(event));
      });
      canvas.addEventListener("pointermove", (event) => (event.buttons ? move(place(event)) : point(place(event))));
      canvas.addEventListener("keydown", (event) => {
        const step = PLANE / (2 * (lattice || 25));
        const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
        if (x === undefined) return;
        event.preventDefault();
        move([at[0] + x * step, at[1] + y * step]);
      });
      move([PLANE / 2, PLANE / 2]);
      const legend = (names.length > MOST_NAMED ? [] : names).map((name, k) => {
        const dot = make("i");
        dot.style.background = colors[k];
        return make("span", {}, dot, name);
      });
      const named = axes.map((name, k) => make("div", {}, (axes.length > 1 ? ["across: ", "up: "][k] : "") + name));
      const plane = make("div", {}, canvas, make("p", { className: "legend" }, ...(names.length > 1 ? legend : [])));
      plane.append(make("div", { className: "explanation" }, ...named));
      const shown = [captioned(example, about)];
      if (lattice) shown.unshift(captioned(decoded, where));
      return [plane, make("div", { className: "shown" }, ...shown)];
    },

    sliders(widget) {
      const { latents, start } = widget.values;
      const at = [...start];
      const canvas = tile(widget, "what is decoded");
      const show = () => canvas.show(at.reduce((i, place, k) => i * latents[k][1].length + place, 0));
      const rows = latents.map(([name, values], k) => {
        const moved = (i) => {
          at[k] = i;
          show();
        };
        return slider(name, values.length, start[k], (i) => written(values[i]), moved)[1];
      });
      show();
      return [make("div", { className: "sliders" }, ...rows), canvas];
    },

    erase(widget) {
      const { images, ways } = widget.values;
      const { width, height } = widget.tiles;
      const given = tile(widget, "the image");
      const drawn = [...Array(ways)].map((_, w) => tile(widget, `completion ${w + 1}`));
      const caption = make("figcaption", { "aria-live": "polite" });
      const row = make("div", { className: "row" }, ...drawn);
      let { image, erased } = kept.erase ?? { image: 0, erased: 12 }; // the lower half
      image = Math.min(image, images - 1);
      function show() {
        kept.erase = { image, erased };
        given.show(image);
        row.hidden = !erased;
        caption.textContent = erased ? "what the model draws there" : "nothing is erased";
        if (erased) drawn.forEach((canvas, w) => canvas.show(images + (15 * image + erased - 1) * ways + w));
        quarters.forEach((button, k) => press(button, Boolean(erased & (1 << k))));
        others.forEach((button, m) => press(button, m === image));
      }
      const quarters = ["upper left", "upper right", "lower left", "lower right"].map((name, k) => {
        const onclick = () => ((erased ^= 1 << k), show());
        return make("button", { type: "button", onclick, "aria-label": `erase the ${name} quarter` });
      });
      const over = make("div", { className: "quarters" }, ...quarters);
      const halves = (size) => `${Math.floor(size / 2)}fr ${Math.ceil(size / 2)}fr`;
      over.style.gridTemplate = `${halves(height)} / ${halves(width)}`;
      const others = [...Array(images)].map((_, m) => {
        const canvas = tile(widget, `image ${m + 1}`, 56);
        canvas.show(m);
        return make("button", { type: "button", onclick: () => ((image = m), show()) }, canvas);
      });
      show();
      return [
        make("div", {}, captioned(make("div", { className: "erasable" }, given, over), "the image"),
          make("div", { className: "others" }, ...others)),
        make("figure", {}, caption, row),
      ];
    },

    epochs(widget) {
      const { labels, start } = widget.values;
      const canvas = tile(widget, "what the model makes", 2 * SIDE);
      const first = labels.includes(kept.epoch) ? labels.indexOf(kept.epoch) : start;
      const [input, row] = slider("epoch", labels.length, first, (i) => labels[i], show);
      function show(i) {
        kept.epoch = labels[i];
        canvas.show(i);
      }
      let timer = null;
      const button = make("button", { type: "button", className: "run" }, "Play");
      function stop() {
        clearInterval(timer);
        timer = null;
        button.textContent = "Play";
      }
      function step() {
        if (!canvas.isConnected) return stop(); // another widget is shown
        const i = Number(input.value) + 1;
        if (i >= labels.length) return stop();
        input.show(i);
        show(i);
      }
      button.addEventListener("click", () => {
        if (timer) return stop();
        if (Number(input.value) === labels.length - 1) {
          input.show(0);
          show(0);
        }
        button.textContent = "Stop";
        timer = setInterval(step, STEP);
      });
      canvas.show(first);
      return [make("div", { className: "wide" }, make("div", { className: "sliders" }, row, button), canvas)];
    },
  };

  let shown = null;
  async function show(widget) {
    shown = widget;
    words.textContent = widget.words;
    stage.dataset.kind = widget.kind;
    try {
      if (!widget.sheet) {
        const sheet = new Image();
        sheet.src = widget.tiles.uri;
        await sheet.decode();
        widget.sheet = sheet;
        if (shown !== widget) return;
      }
      stage.replaceChildren(...kinds[widget.kind](widget));
    } catch (error) {
      stage.replaceChildren(`This can't be shown here: ${error.message}`);
    }
  }

  const slides = document.getElementById("slides");
  slides.parentElement.title = "One topic a screen; Page Down or the right arrow leads to the next";
  // In the slides, the arrow keys lead to the next topic and back.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const others = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented;
    if (!step || others || !slides.checked || event.target.matches("input[type=range], select")) return;
    if (document.querySelector(".picture:target")) return; // one is shown in full
    const screens = [...document.querySelectorAll(".screen")];
    const now = screens.findLastIndex((screen) => screen.getBoundingClientRect().top < 10);
    screens[Math.min(screens.length - 1, Math.max(0, now + step))].scrollIntoView();
  });

  const titles = [...new Set(all.map((widget) => widget.title))];
  const of = make("select", { onchange: () => show(all[Number(of.value)]), "aria-label": "model" });
  function choose(title) {
    buttons.forEach((button) => press(button, button.textContent === title));
    const own = all.map((widget, i) => [widget, i]).filter(([widget]) => widget.title === title);
    const before = own.find(([widget]) => shown && widget.label === shown.label) ?? own[0];
    of.replaceChildren(...own.map(([widget, i]) => make("option", { value: i }, widget.label)));
    of.value = before[1];
    of.hidden = new Set(all.map((widget) => widget.label)).size < 2;
    show(before[0]);
  }
  const buttons = titles.map((title) => make("button", { type: "button", onclick: () => choose(title) }, title));
  choices.append(...buttons, of);
  for (const hidden of document.querySelectorAll(".script")) hidden.hidden = false;
  choose(titles[0]);
})();
