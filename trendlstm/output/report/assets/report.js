"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const DASH = "–";
  const DASHES = { solid: [], dashed: [7, 4], dotted: [2, 3], dashdot: [9, 3, 2, 3], sparse: [3, 7],
    long: [16, 4], dashdotdot: [9, 3, 2, 3, 2, 3] };
  const redraws = []; // what shows colours that a change of theme changes

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const limit = (value, low, high) => Math.max(low, Math.min(high, value));

  // ---------------------------------------------------------------- colours, as the style sheet resolves them

  const probe = make("span", { className: "unseen" });
  document.body.append(probe);
  const known = new Map();
  const colour = (name) => {
    if (!known.has(name)) {
      probe.style.color = `var(--${name})`;
      known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
  };
  const channels = (name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number);
  const faint = (name, opacity) => `rgba(${channels(name).join(",")},${opacity})`;
  const repaint = () => {
    known.clear();
    redraws.forEach((redraw) => redraw());
  };

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  prefersDark.addEventListener("change", repaint);
  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    repaint();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  // ---------------------------------------------------------------- tables that sort

  const sortKey = (text) => {
    const date = text.match(/\d{4}-\d\d-\d\d/);
    if (date && /^(\w{3} )?\d{4}-/.test(text)) return date[0];
    const number = text.replace(/,/g, "").match(/^[<+]?(-?\d*\.?\d+(?:e[-+]?\d+)?)/i);
    if (!number) return text;
    return Number(number[1]) - (text.startsWith("<") ? 1e-9 : 0);
  };
  const compareKeys = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");

  document.addEventListener("click", (event) => {
    const button = event.target.closest("thead button");
    if (!button) return;
    const heading = button.parentElement;
    const body = heading.closest("table").tBodies[0];
    const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const each of heading.parentElement.cells) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction);
    const keyed = Array.from(body.rows, (row) => [row.cells[heading.cellIndex].textContent, row]);
    const empty = (text) => text === DASH || text === "";
    const sign = direction === "ascending" ? 1 : -1;
    keyed.sort(([a], [b]) =>
      empty(a) || empty(b) ? empty(a) - empty(b) : sign * compareKeys(sortKey(a), sortKey(b)));
    body.append(...keyed.map(([, row]) => row));
  });

  const table = (caption, headings, rows) => {
    const head = make("tr", {}, ...headings.map((heading) => {
      const cell = make("th", { scope: "col" }, make("button", { type: "button", textContent: heading }));
      cell.setAttribute("aria-sort", "none");
      return cell;
    }));
    const body = rows.map((row) => make("tr", {}, ...row.map((text, index) =>
      index ? make("td", { textContent: text }) : make("th", { scope: "row", textContent: text }))));
    const whole = make("table", { ariaLabel: caption }, make("thead", {}, head), make("tbody", {}, ...body));
    const scroll = make("div", { className: "scroll", tabIndex: 0 }, whole);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", caption);
    return scroll;
  };

  // ---------------------------------------------------------------- numbers and dates

  const DAY = 86400;
  const isoDate = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 10);
  const grouped = (value, digits) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const valueFormat = (chart) => (value) => {
    if (value == null) return DASH;
    return chart.digits == null ? String(Number(value.toPrecision(3))) : grouped(value, chart.digits) + chart.unit;
  };

  // ---------------------------------------------------------------- axes

  const DAYS = [1, 2, 3, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650].map((days) => days * DAY);
  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
  // uPlot's form: from this distance on, the text, and what is added where a new year begins
  const DATE_TICKS = [
    [365 * DAY, "{YYYY}", null, null, null, null, null, null, 1],
    [28 * DAY, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [DAY, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  ];

  const plainTicks = (low, high) => {
    const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
    const distance = power * [1, 2, 5, 10].find((times) => times * power >= rough);
    const first = Math.ceil(low / distance);
    return Array.from({ length: Math.floor(high / distance) - first + 1 }, (_, index) => (first + index) * distance);
  };
  const logTicks = (low, high) => {
    if (high < 12 * low) return plainTicks(low, high);
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.ceil((last - first + 1) / 8), ticks = [];
    for (let power = first - 1; power <= last; power += 1) {
      for (const times of last - first < 3 ? [1, 2, 5] : [1]) {
        const value = times * 10 ** power;
        if (value >= low && value <= high && (last - power) % every === 0) ticks.push(value);
      }
    }
    return ticks;
  };
  // as many decimals as the ticks need to differ
  const tick = (value, all, chart) => {
    if (chart.log && !(value >= 0.0009 && value < 1e5)) return value.toExponential(0);
    if (chart.log) return String(Number(value.toPrecision(3)));
    const distance = all.length > 1 ? Math.abs(all[1] - all[0]) : 1;
    let digits = 0;
    while (digits < 8 && Math.abs(distance * 10 ** digits - Math.round(distance * 10 ** digits)) > 1e-6) digits += 1;
    return grouped(value, digits) + chart.unit;
  };

  // ---------------------------------------------------------------- charts

  const swatch = (line) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", 26);
    svg.setAttribute("height", 10);
    svg.setAttribute("aria-hidden", "true");
    const part = document.createElementNS(svg.namespaceURI, line.shape === "band" ? "rect" : "line");
    const attributes = line.shape === "band" ? { width: 26, height: 10, "fill-opacity": 0.3 }
      : { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": Math.max(line.width, 1.5),
          "stroke-dasharray": DASHES[line.dash].join(" ") };
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    part.style.setProperty(line.shape === "band" ? "fill" : "stroke", `var(--${line.colour})`);
    svg.append(part);
    return svg;
  };

  const choosers = {};

  const build = (figure) => {
    const chart = data.charts[figure.dataset.chart];
    const format = valueFormat(chart);
    const at = (x) => (chart.dates ? isoDate(x) : `${chart.x} ${x}`);
    const title = figure.querySelector("figcaption b").textContent;
    const plot = make("div", { className: "plot", tabIndex: 0 });
    const values = make("p", { className: "at quiet" });
    const spoken = make("p", { className: "unseen" });
    spoken.setAttribute("aria-live", "polite");
    plot.setAttribute("role", "application");
    plot.setAttribute("aria-label", `Chart: ${title}. Left and right read the values, plus and minus zoom, ` +
      "0 shows all. The same as a table is below.");
    const legend = make("ul", { className: "legend" });
    const tools = make("div", { className: "tools" });
    let shown, view;

    const columns = (set) => {
      const x = chart.dates ? set.x.map((day) => day * DAY) : set.x;
      return [x, ...set.values];
    };
    // a single point needs some room
    const around = (low, high) => {
      const room = low === high ? (chart.dates ? DAY : 1) : 0;
      return [low - room, high + room];
    };
    const strokes = chart.lines.map((line) => () => (line.shape === "band" ? "transparent" : colour(line.colour)));
    const scaleRange = (u, low, high) => {
      if (low == null) return [0, 1];
      if (chart.limits) [low, high] = [Math.max(low, chart.limits[0]), Math.min(high, chart.limits[1])];
      if (chart.log) return [low / 1.15, high * 1.15];
      const margin = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.05 || 1;
      return [low - margin, high + margin];
    };
    const drawMarks = (u) => {
      const { ctx } = u, ratio = devicePixelRatio;
      ctx.save();
      ctx.font = `${12 * ratio}px system-ui, sans-serif`;
      ctx.lineWidth = ratio;
      ctx.textAlign = "left";
      ctx.textBaseline = "alphabetic";
      const right = u.bbox.left + u.bbox.width;
      const place = (mark) => u.valToPos(chart.dates ? mark.x * DAY : mark.x, "x", true);
      for (const mark of shown.marks || []) {
        const x = place(mark);
        if (x < u.bbox.left - 1 || x > right + 1) continue;
        ctx.strokeStyle = ctx.fillStyle = colour("soft");
        ctx.setLineDash(mark.label ? [] : [3 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x, u.bbox.top);
        ctx.lineTo(x, u.bbox.top + u.bbox.height);
        ctx.stroke();
        // a label that would reach into the next one is left out
        const room = Math.min(right, ...shown.marks.map(place).filter((other) => other > x)) - x - 6 * ratio;
        if (mark.label && ctx.measureText(mark.label).width < room) {
          ctx.fillText(mark.label, x + 4 * ratio, u.bbox.top + 13 * ratio);
        }
      }
      ctx.restore();
    };
    // a band is two lines: its lower edge, which the legend does not show, and right after it the upper one
    const reading = (u, number, index) => {
      const value = u.data[number + 1][index];
      if (value == null) return "";
      return chart.lines[number].shape === "band" ? `${format(u.data[number][index])} to ${format(value)}` : format(value);
    };
    const showValues = (u) => {
      const index = u.cursor.idx;
      chart.lines.forEach((line, number) => {
        legend.children[number].querySelector(".value").textContent = index == null ? "" : reading(u, number, index);
      });
      values.textContent = index == null ? hint : at(u.data[0][index]);
    };
    const hint = "Drag over the chart to zoom, double click to see all again.";

    const draw = () => {
      const axis = {
        stroke: () => colour("soft"),
        grid: { stroke: () => colour("rule"), width: 1 },
        ticks: { stroke: () => colour("rule"), width: 1, size: 5 },
        font: "12px system-ui, sans-serif",
        labelFont: "12px system-ui, sans-serif",
      };
      const width = () => Math.max(plot.clientWidth, 200);
      const height = () => Math.round(limit(width() * chart.aspect, 230, 440));
      const bars = uPlot.paths.bars({ size: [0.7, 24] });
      view = new uPlot({
        width: width(), height: height(),
        legend: { show: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"),
        padding: [12, 26, 0, 0], // on the right half a date, which may stand at the very end
        scales: {
          x: { time: chart.dates, range: (u, low, high) => around(low, high) },
          y: { distr: chart.log ? 3 : 1, range: scaleRange },
        },
        cursor: { y: false, drag: { x: true, y: false, dist: 4 }, points: { size: 6 } },
        axes: [
          chart.dates ? { ...axis, space: 58, incrs: DAYS, values: DATE_TICKS }
            : { ...axis, space: 44, size: 32, label: chart.x, labelSize: 20, incrs: WHOLE },
          { ...axis, label: chart.y, labelSize: 20, labelGap: 2,
            ...(chart.log ? { splits: (u, side, low, high) => logTicks(low, high), filter: (u, splits) => splits } : {}),
            values: (u, splits) => splits.map((y) => (y == null ? null : tick(y, splits, chart))),
            size: (u, texts) => 14 + 7 * Math.max(2, ...(texts || []).map((text) => (text || "").length)) },
        ],
        series: [{}, ...chart.lines.map((line, number) => ({
          label: line.label, stroke: strokes[number], width: line.width, dash: DASHES[line.dash],
          // dots for short lines, because a line of one point shows nothing
          points: { show: (u, side, first, last) => line.shape === "line" && last - first < 26, size: 5 },
          ...(line.shape === "bars" ? { paths: bars, fill: () => faint(line.colour, 0.45), points: { show: false } } : {}),
        }))],
        bands: chart.lines.flatMap((line, number) => line.shape === "band"
          ? [{ series: [number + 1, number], fill: () => faint(line.colour, 0.22) }] : []),
        hooks: { draw: [drawMarks], setCursor: [showValues] },
      }, columns(shown), plot);
      new ResizeObserver(() => {
        if (Math.abs(view.width - width()) > 1) view.setSize({ width: width(), height: height() });
      }).observe(plot);
      showValues(view);
    };

    chart.lines.forEach((line, number) => {
      const button = make("button", { type: "button" }, swatch(line), make("span", { textContent: line.label }),
        make("span", { className: "value" }));
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        const show = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(show));
        view.setSeries(number + 1, { show });
      });
      const entry = make("li", { hidden: line.shape === "edge" }, button);
      legend.append(entry);
    });

    const whole = () => {
      const x = view.data[0], [min, max] = around(x[0], x[x.length - 1]);
      view.setScale("x", { min, max });
    };
    const zoom = (factor) => {
      const x = view.data[0], { min, max } = view.scales.x;
      if (x.length === 1) return;
      const middle = view.cursor.idx == null ? (min + max) / 2 : x[view.cursor.idx];
      const half = limit((factor * (max - min)) / 2, 1.5 * (x[x.length - 1] - x[0]) / x.length, x[x.length - 1] - x[0]);
      const low = limit(middle - half, x[0], Math.max(x[0], x[x.length - 1] - 2 * half));
      view.setScale("x", { min: low, max: Math.min(low + 2 * half, x[x.length - 1]) });
    };
    const step = (by) => {
      const x = view.data[0];
      const before = view.cursor.idx == null ? (by > 0 ? -1 : x.length) : view.cursor.idx;
      const index = limit(before + by, 0, x.length - 1);
      if (x[index] < view.scales.x.min || x[index] > view.scales.x.max) whole();
      view.setCursor({ left: view.valToPos(x[index], "x"), top: 10 });
      const said = chart.lines.flatMap((line, number) => {
        const read = line.shape === "edge" ? "" : reading(view, number, index);
        return read ? [`${line.label} ${read}`] : [];
      });
      spoken.textContent = [at(x[index]), ...said].join(", ");
    };
    const keys = { ArrowRight: () => step(1), ArrowLeft: () => step(-1), "+": () => zoom(0.5), "=": () => zoom(0.5),
      "-": () => zoom(2), 0: whole, Escape: whole };
    plot.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    for (const [name, act] of [["Zoom in", () => zoom(0.5)], ["Zoom out", () => zoom(2)], ["Show all", whole]]) {
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", act);
      tools.append(button);
    }

    const details = make("details", {}, make("summary", { textContent: "Show as table" }));
    const fillTable = () => {
      details.querySelector(".scroll")?.remove();
      if (!details.open) return;
      const [x, ...rows] = columns(shown);
      details.append(table(title, [chart.dates ? "date" : chart.x,
        ...chart.lines.map((line) => line.label + ({ edge: ", from", band: ", to" }[line.shape] || ""))],
        x.map((one, index) => [chart.dates ? isoDate(one) : String(one), ...rows.map((row) => format(row[index]))])));
    };
    details.addEventListener("toggle", fillTable);

    [shown] = chart.sets;
    if (chart.sets.length > 1) {
      const select = make("select", {}, ...chart.sets.map((set) => make("option", { textContent: set.name })));
      const choose = (index) => {
        select.selectedIndex = index;
        shown = chart.sets[index];
        view.setData(columns(shown));
        fillTable();
      };
      // charts that ask for the same are asked together
      const together = choosers[chart.choice] ||= [];
      together.push(choose);
      select.addEventListener("change", () => together.forEach((each) => each(select.selectedIndex)));
      tools.prepend(make("label", {}, `${chart.choice} `, select));
    }
    figure.append(tools, legend, plot, values, spoken, details);
    draw();
    redraws.push(() => view.redraw());
    return { mark: (x) => { shown.marks = [{ x, label: "" }]; view.redraw(false); } };
  };


  const charts = {};
  for (const figure of document.querySelectorAll("figure[data-chart]")) charts[figure.dataset.chart] = build(figure);

  // ---------------------------------------------------------------- inside the network

  const inside = data.gates;
  if (inside) {
    const steps = inside.steps.length;
    const slider = document.getElementById("step");
    const text = document.getElementById("step-text");
    const play = document.getElementById("play");
    const cards = Array.from(document.querySelectorAll(".gate"), (card) => {
      const name = card.dataset.gate;
      const values = inside.values[name]; // values[t][unit], in thousandths
      const units = values[0].length;
      const all = values.flat(), signed = inside.signed.includes(name);
      // from 0 for what has a sign; for gates their own range, in which alone their changes can be seen
      const largest = signed ? Math.max(1, ...all.map(Math.abs)) : Math.max(...all);
      const least = signed ? 0 : Math.min(...all);
      const canvas = make("canvas", { width: steps, height: units });
      const marker = make("span");
      const map = card.querySelector(".map");
      const [low, high] = card.querySelectorAll(".scale span");
      low.textContent = signed ? `orange: ${plain(-largest)}` : `faint: ${plain(least)}`;
      high.textContent = `blue: ${plain(largest)}`;
      map.append(canvas, marker);
      const paint = () => {
        const context = canvas.getContext("2d");
        const image = context.createImageData(steps, units);
        const [surface, up, down] = ["surface", "blue", "vermillion"].map(channels);
        values.forEach((column, t) => column.forEach((value, unit) => {
          const share = (Math.abs(value) - least) / Math.max(1, largest - least), end = value < 0 ? down : up;
          const place = 4 * (unit * steps + t);
          for (let channel = 0; channel < 3; channel += 1) {
            image.data[place + channel] = surface[channel] + share * (end[channel] - surface[channel]);
          }
          image.data[place + 3] = 255;
        }));
        context.putImageData(image, 0, 0);
      };
      paint();
      redraws.push(paint);
      const point = (event) => {
        const box = map.getBoundingClientRect();
        slider.value = 1 + limit(Math.floor((steps * (event.clientX - box.left)) / box.width), 0, steps - 1);
        show();
      };
      map.addEventListener("pointerdown", point);
      map.addEventListener("pointermove", (event) => event.buttons && point(event));
      return { name, values, units, marker, now: card.querySelector(".now") };
    });

    const mean = (column) => column.reduce((sum, value) => sum + value, 0) / column.length;
    function plain(thousandths) {
      return (thousandths / 1000).toFixed(2).replace(/^-0\.00$/, "0.00");
    }
    const percent = (thousandths) => `${Math.round(thousandths / 10)} %`;
    const extremes = (column) => {
      const low = column.indexOf(Math.min(...column)), high = column.indexOf(Math.max(...column));
      return { low, high };
    };
    const sentences = {
      f: (now, { low, high }) => `The cells keep ${percent(mean(now))} of what they held, on average: unit ${low + 1} ` +
        `least (${percent(now[low])}), unit ${high + 1} most (${percent(now[high])}).`,
      i: (now, { low, high }) => `${percent(mean(now))} of the candidate is let in, on average: in unit ${low + 1} ` +
        `least (${percent(now[low])}), in unit ${high + 1} most (${percent(now[high])}).`,
      g: (now, { low, high }) => `The candidate would raise ${now.filter((value) => value > 0).length} of ` +
        `${now.length} cells and lower ${now.filter((value) => value < 0).length}: unit ${high + 1} by ` +
        `${plain(now[high])}, unit ${low + 1} by ${plain(now[low])} if it were let in whole.`,
      c: (now, { low, high }, before) => `${now.filter((value, unit) => value > before[unit]).length} of ${now.length} ` +
        `cells rose. They now hold ${plain(now[low])} (unit ${low + 1}) to ${plain(now[high])} (unit ${high + 1}).`,
      o: (now, { low, high }) => `${percent(mean(now))} of the cell state is shown, on average: of unit ${low + 1} ` +
        `least (${percent(now[low])}), of unit ${high + 1} most (${percent(now[high])}).`,
      r: (now, { low, high }) => `The candidate sees ${percent(mean(now))} of what the units hold, on average: of unit ` +
        `${low + 1} least (${percent(now[low])}), of unit ${high + 1} most (${percent(now[high])}).`,
      z: (now, { low, high }) => `The units keep ${percent(mean(now))} of what they held and take the rest from the ` +
        `candidate, on average: unit ${low + 1} keeps least (${percent(now[low])}), unit ${high + 1} most (${percent(now[high])}).`,
      n: (now, { low, high }) => `From ${plain(now[low])} (unit ${low + 1}) to ${plain(now[high])} (unit ${high + 1}).`,
      h: (now, { low, high }, before, isLast) => `From ${plain(now[low])} (unit ${low + 1}) to ${plain(now[high])} ` +
        `(unit ${high + 1}). ` + (isLast ? "This was the last step: the dense layers make the forecast of these numbers."
        : "The next step sees these numbers beside its input."),
    };
    const listed = document.getElementById("units");
    const fillUnits = () => {
      listed.querySelector(".scroll")?.remove();
      if (!listed.open) return;
      const t = slider.valueAsNumber - 1;
      listed.append(table(`All units at step ${t + 1}`, ["unit", ...cards.map(({ name }) => name)],
        cards[0].values[t].map((_, unit) => [String(unit + 1), ...cards.map(({ values }) => (values[t][unit] / 1000).toFixed(3))])));
    };
    listed.addEventListener("toggle", fillUnits);

    const show = () => {
      const t = slider.valueAsNumber - 1;
      text.textContent = inside.steps[t];
      slider.setAttribute("aria-valuetext", `${t + 1} of ${steps}`);
      for (const { name, values, marker, now } of cards) {
        marker.style.left = `calc(${(100 * t) / steps}% - 2px)`;
        marker.style.width = `calc(${100 / steps}% + 4px)`;
        const before = t ? values[t - 1] : values[t].map(() => 0);
        now.textContent = sentences[name](values[t], extremes(values[t]), before, t === steps - 1);
      }
      charts.means?.mark(t + 1);
      fillUnits();
    };
    slider.addEventListener("input", show);

    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    };
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.valueAsNumber === steps) slider.value = 1;
      else slider.stepUp();
      show();
      play.textContent = "Pause";
      timer = setInterval(() => {
        if (slider.valueAsNumber === steps) return stop();
        slider.stepUp();
        show();
      }, 700);
    });
    show();
  }
})();
