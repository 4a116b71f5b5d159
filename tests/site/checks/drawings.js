() => {
  // Drawings: each has a box, and each of its texts stands out from what is painted beneath it.
  const faults = [];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = "#000"; context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + .05) / (y + .05);
  };
  const pageColour = element => {
    for (let e = element.parentElement; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > .99) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const opacity = (e, root) => {
    let all = 1;
    for (; e && e !== root.parentElement; e = e.parentElement)
      all *= parseFloat(getComputedStyle(e).opacity);
    return all;
  };
  const article = document.querySelector("article");
  for (const img of article.querySelectorAll("img"))
    if (!(img.complete && img.naturalWidth > 0)) faults.push("image not drawn: " + img.src);
  for (const e of article.querySelectorAll("pre.mermaid, code.language-mermaid"))
    faults.push("diagram left as source: " + e.textContent.trim().slice(0, 80));
  for (const svg of article.querySelectorAll("svg")) {
    if (svg.closest(".md-icon, .twemoji, .md-button, .headerlink, button, svg svg")) continue;
    if (svg.closest("details:not([open]), .tabbed-block") && !svg.checkVisibility()) continue;
    const name = svg.getAttribute("aria-label") || svg.id || svg.outerHTML.slice(0, 80);
    const box = svg.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0)) {
      faults.push("drawing without a box: " + name); continue;
    }
    const ids = [...svg.querySelectorAll("[id]")].map(e => e.id);
    for (const id of ids)
      if (document.querySelectorAll("#" + CSS.escape(id)).length > 1) {
        faults.push(`id ${id} twice: ${name}`); break;
      }
    const ground = pageColour(svg);
    const shapes = [...svg.querySelectorAll("rect, path, polygon, circle, ellipse")]
      .filter(e => !e.closest("defs, clipPath, marker, symbol"))
      .map(e => ({e, box: e.getBoundingClientRect(), style: getComputedStyle(e)}))
      .filter(s => s.style.fill !== "none" && s.style.visibility !== "hidden");
    const texts = [...svg.querySelectorAll("text, foreignObject *")].filter(e =>
      e.tagName === "text" ? e.textContent.trim()
        : [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
    for (const text of texts) {
      if (text.closest(".katex")) continue;
      const place = text.getBoundingClientRect();
      const x = place.x + place.width / 2, y = place.y + place.height / 2;
      const label = `${name}: text "${text.textContent.trim().slice(0, 40)}"`;
      if (!(place.width > 0 && place.height > 0)) { faults.push(label + " has no box"); continue; }
      let below = ground;
      for (const {e, box, style} of shapes)
        if (e.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING
            && box.left <= x && x <= box.right && box.top <= y && y <= box.bottom) {
          const c = rgba(style.fill);
          c[3] *= parseFloat(style.fillOpacity) * opacity(e, svg);
          below = over(c, below);
        }
      const style = getComputedStyle(text);
      const colour = rgba(text.tagName === "text" ? style.fill : style.color);
      colour[3] *= opacity(text, svg) * (text.tagName === "text" ? +style.fillOpacity : 1);
      const ratio = contrast(over(colour, below), below);
      if (ratio < 3) faults.push(`${label} hardly visible: contrast ${ratio.toFixed(2)}`);
    }
  }
  return faults;
}
