// Starts the figures, gives them the page's colours, makes them readable from the keyboard and savable as SVG.
"use strict";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 640px)");

function theme(forPaper) {
  const css = getComputedStyle(document.documentElement);
  const ink = forPaper ? "#1c2126" : css.getPropertyValue("--ink").trim();
  const grid = forPaper ? "#d9dcd6" : css.getPropertyValue("--line").trim();
  const page = forPaper ? "#ffffff" : css.getPropertyValue("--card").trim();
  return {
    "font.color": ink, "hoverlabel.font.color": ink, "hoverlabel.bgcolor": page, "hoverlabel.bordercolor": grid,
    "xaxis.gridcolor": grid, "yaxis.gridcolor": grid, "xaxis.linecolor": grid, "yaxis.linecolor": grid,
  };
}

function merged(layout, flat) {
  const copy = JSON.parse(JSON.stringify(layout));
  for (const [path, value] of Object.entries(flat)) {
    const keys = path.split("."), last = keys.pop();
    let at = copy;
    for (const key of keys) at = at[key] = at[key] || {};
    at[last] = value;
  }
  return copy;
}

function fit(layout) {
  // On a phone: no room beside the axes, and smaller words.
  if (!narrow.matches) return layout;
  return merged(layout, { "margin.l": 44, "margin.r": 8, "legend.font.size": 11, "font.size": 11, "yaxis.title.standoff": 4 });
}

function traces(data) {
  // There, too, only the frontier (the first trace) keeps its labels; the others tell their name on a tap.
  if (!narrow.matches) return data;
  return data.map((t, i) => t.mode === "markers+text" ? { ...t, mode: i ? "markers" : t.mode, textfont: { size: 10 } } : t);
}

async function start(figure) {
  const plot = figure.querySelector(".plot");
  const reading = figure.querySelector(".reading");
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  const config = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  await Plotly.newPlot(plot, traces(data), merged(fit(layout), theme(false)), config);
  dark.addEventListener("change", () => Plotly.relayout(plot, theme(false)));

  figure.querySelector("button").addEventListener("click", () => {
    const paper = merged(layout, { ...theme(true), paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff" });
    Plotly.downloadImage({ data, layout: paper }, { format: "svg", width: 1100, height: 620, filename: figure.id });
  });

  // Arrow keys walk through the points in the order of the horizontal axis; what is read stands below as text, too.
  const points = data.flatMap((t, curve) =>
    (t.mode || "").includes("markers") ? t.x.map((x, number) => ({ curveNumber: curve, pointNumber: number, x })) : []);
  points.sort((a, b) => (a.x < b.x ? -1 : a.x > b.x ? 1 : a.curveNumber - b.curveNumber));
  let at = -1;
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") { Plotly.Fx.unhover(plot); reading.textContent = ""; at = -1; return; }
    if (!step || !points.length) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), points.length - 1);
    const { curveNumber, pointNumber } = points[at];
    Plotly.Fx.hover(plot, [{ curveNumber, pointNumber }]);
    read(curveNumber, pointNumber); // plotly tells of hovering only where a pointer did it
  });
  plot.on("plotly_hover", (event) => read(event.points[0].curveNumber, event.points[0].pointNumber));

  function read(curve, number) {
    const t = data[curve];
    const text = t.hovertext ? t.hovertext[number] : `${t.name}: ${t.x[number].toPrecision(3)}, ${t.y[number].toPrecision(3)}`;
    reading.textContent = text.replace(/<br>/g, "; ").replace(/<[^>]*>/g, "");
  }
}

document.querySelectorAll("figure.chart").forEach(start);
