() => {
  // Formulas: each must have been drawn by KaTeX into a box that is not empty.
  const faults = [];
  const article = document.querySelector("article");
  for (const e of article.querySelectorAll(".arithmatex"))
    if (!e.querySelector(".katex"))
      faults.push("formula left as TeX: " + e.textContent.slice(0, 80));
  for (const e of article.querySelectorAll(".katex-error"))
    faults.push("KaTeX error: " + (e.title || e.textContent));
  for (const e of article.querySelectorAll(".katex")) {
    // In a folded answer or a tab not chosen nothing has a box.
    if (e.closest("details:not([open]), .tabbed-block") && !e.offsetParent) continue;
    const drawn = e.querySelector(".katex-html") || e;
    const box = drawn.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0))
      faults.push("formula without a box: " + e.textContent.slice(0, 80));
  }
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (/\\\(|\\\[|\$\$/.test(node.data) && !node.parentElement.closest(
        "pre, code, script, style, .katex, annotation"))
      faults.push("TeX in the text: " + node.data.trim().slice(0, 80));
  }
  return faults;
}
