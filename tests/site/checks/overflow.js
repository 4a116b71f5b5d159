() => {
  // The page itself must not scroll sideways; a wide table or formula may, inside its own box.
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.querySelectorAll("article *")].filter(e => {
    for (let p = e.parentElement; p && p.tagName !== "ARTICLE"; p = p.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(p).overflowX)) return false;
    return e.getBoundingClientRect().right > root.clientWidth + 1;
  }).slice(0, 3).map(e => e.outerHTML.slice(0, 90));
  return [`scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}: ${wide.join(" | ")}`];
}
